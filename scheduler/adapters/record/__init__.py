"""Cycles on disk: everything a decision was made of, exact to the last bit, and its replay."""
