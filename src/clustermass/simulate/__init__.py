"""Simulate skies such as the default sky `embedded`: haloes with hot gas, AGN, background, and detected photons."""
