"""Compare the simulated sky with published numbers."""
