"""The simulated sky against published numbers: what it is measured by, and which of it must hold."""
