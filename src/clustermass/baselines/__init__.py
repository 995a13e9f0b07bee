"""What a network has to beat: scaling relations and regressions on the same clusters. Entry point: `baselines.fit`."""
