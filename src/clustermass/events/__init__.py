"""Event lists: eSASS, SIXTE and our own, read by content, selected, merged and written."""
