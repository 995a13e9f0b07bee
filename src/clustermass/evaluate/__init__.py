"""Evaluation of predicted masses: scores with bootstrap intervals, and comparison of networks and recipes."""
