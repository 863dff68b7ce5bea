"""Pure functions: the same arguments give the same answer next year."""
