"""Detect sources as eSASS does, by background, box search and maximum-likelihood fits, and match them to haloes."""
