"""A trained ensemble of networks: predictions, calibration of their uncertainties, out-of-distribution score."""
