"""Pictures of single clusters: the page of a field, and the card of one cluster."""
