"""Tables of clusters: a user's catalogue, truth and matches into the pipeline's files, and published masses."""
