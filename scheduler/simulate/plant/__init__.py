"""A software plant: a heating district with tank and boiler, and the PLC that speaks with us; all of it is arithmetic."""
