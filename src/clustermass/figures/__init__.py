"""Figures, one module for each subject; `style` holds what all share."""
