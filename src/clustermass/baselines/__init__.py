"""Baselines to compare the networks with: scaling relations and regressions on the same clusters (`baselines.fit`)."""
