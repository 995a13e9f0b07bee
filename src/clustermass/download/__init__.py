"""Public files by their addresses: fetched whole or not at all, checked, unpacked."""
