"""From images to training data: subsets of a sky, sample of an experiment, standardisation, side inputs, controls."""
