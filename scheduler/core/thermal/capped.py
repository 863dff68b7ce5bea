"""What a GPU draws under a power limit; plain numbers, so that a small process can use it."""

from __future__ import annotations


def draw_under_w(natural_w: float, cap_w: float, binding_fraction: float) -> float:
    """Draw in W of a GPU that would draw `natural_w`: that when the cap is above it, else `binding_fraction` of the cap."""
    return natural_w if cap_w >= natural_w else min(natural_w, binding_fraction * cap_w)
