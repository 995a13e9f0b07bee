"""The configuration: its keys (`models`), the merging of its blocks (`resolve`), its errors (`validate`, `checks`)."""
