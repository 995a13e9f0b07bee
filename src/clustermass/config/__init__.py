"""The configuration: its keys (`models`), blocks filled in (`resolve`), all errors at once (`validate`, `checks`)."""
