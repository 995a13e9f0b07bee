"""How good the masses are: scatter, bias, calibration, and ratios to the baselines with intervals."""
