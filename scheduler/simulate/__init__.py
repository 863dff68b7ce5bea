"""Invented worlds behind the real ports."""
