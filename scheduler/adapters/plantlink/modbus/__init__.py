"""Modbus TCP: one register map, the server that shows it, and the plant's client that reads it."""
