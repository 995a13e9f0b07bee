"""Detect sources as eSASS does (background, box search, maximum-likelihood fits), and match them to haloes."""
