"""From images to what networks are trained on: split, sample, standardisation, side inputs, controls."""
