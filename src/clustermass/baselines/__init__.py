"""Baselines with which networks are compared: scaling relations and regressions on the same clusters (`fit.py`)."""
