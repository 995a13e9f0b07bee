"""The page that compares our results with those of Krippendorf et al. (2023), and the significance of differences."""
