"""Reports on a run: summary, costs, advice after a failure, verification and trace of its files."""
