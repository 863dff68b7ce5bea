"""The operator's wiring: which implementation runs behind each port, and in what order things begin and end."""
