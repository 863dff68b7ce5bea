"""Wiring: which implementation runs."""
