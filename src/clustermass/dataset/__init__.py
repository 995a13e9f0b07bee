"""From images to training data: split, sample, standardisation, side inputs, controls."""
