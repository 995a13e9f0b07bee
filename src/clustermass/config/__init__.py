"""The configuration: its keys (`models`), the merging of blocks (`resolve`), and its errors (`validate`, `checks`)."""
