"""Krippendorf et al. (2023) reproduced: published numbers, ours beside them, and what the difference means."""
