"""The simulated sky against published numbers."""
