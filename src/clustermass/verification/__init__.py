"""Provenance read back: are all files still those that others were made from, and where does a number come from."""
