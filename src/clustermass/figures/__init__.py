"""Figures, a file for those that show the same; `style` holds what all share."""
