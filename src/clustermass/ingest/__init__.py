"""Conversion of a user's own field, and of the published training set, to the files of a sky."""
