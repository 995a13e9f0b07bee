"""Comparison of our results with those of Krippendorf et al. (2023): a page, and the significance of differences."""
