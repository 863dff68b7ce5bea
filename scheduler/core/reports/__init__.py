"""Figures for people, computed purely."""
