"""Masses of an observed field: catalogue, flags, mass prior, comparison with published masses."""
