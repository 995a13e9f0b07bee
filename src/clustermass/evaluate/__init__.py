"""Evaluation of predicted masses: scores with bootstrap intervals, test skies, and the choice between networks."""
