"""Comparison of our results with those of Krippendorf et al. (2023): its page, and the significance of differences."""
