"""The simulated sky: haloes, gas, AGN and background become photons."""
