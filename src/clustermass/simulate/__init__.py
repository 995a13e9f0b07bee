"""Simulate skies such as the default, `embedded`: haloes with hot gas, AGN, background, and their detected photons."""
