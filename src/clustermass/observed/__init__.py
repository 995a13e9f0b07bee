"""Masses of an observed field, and their catalogue."""
