"""The Python interface: what `import clustermass` offers to scripts and notebooks (docs/how-to/python.md)."""
