"""Krippendorf et al. (2023) re-made: published numbers, ours beside them, and what the difference means."""
