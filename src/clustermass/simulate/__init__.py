"""Simulate the embedded sky: haloes with hot gas, AGN and background, and the photons that are detected of them."""
