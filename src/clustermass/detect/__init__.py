"""Detect sources as eSASS does: estimate the background, search boxes for excesses, and fit with maximum likelihood."""
