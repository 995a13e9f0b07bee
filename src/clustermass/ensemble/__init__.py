"""A trained ensemble: predictions, calibration, out-of-distribution score."""
