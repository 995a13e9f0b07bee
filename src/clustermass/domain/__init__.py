"""Whether a cluster is like those that the networks learnt from."""
