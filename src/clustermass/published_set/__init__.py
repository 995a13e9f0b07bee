"""The training set that Krippendorf et al. (2023) published, as files of a simulated sky."""
