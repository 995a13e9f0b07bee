"""Krippendorf et al. (2023) reproduced: published numbers, our numbers beside them, and what their differences mean."""
