"""From images to training data: split of a sky, sample of an experiment, standardisation, side inputs and controls."""
