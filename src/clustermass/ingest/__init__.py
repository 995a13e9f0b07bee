"""Fields and images from outside, as the files of a sky: a user's own field, and the published training set."""
