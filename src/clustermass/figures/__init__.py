"""Figures, one module for each subject; all of them use the module `style`."""
