"""Detect sources in an event list after eSASS: background, box search, maximum-likelihood fits, matching to haloes."""
