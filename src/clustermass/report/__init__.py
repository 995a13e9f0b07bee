"""Reports on a run: key figures, costs of its steps, verification of its files, and the steps that made a file."""
