"""Sums of products in one order.

BLAS behind `@` and `np.dot` shares a long sum among threads and adds in another order on every number of them; `einsum` never
does. Sums that forecasts are made of, and so plans, are written with it, whatever the length of the history.
"""

from __future__ import annotations

import numpy as np

from scheduler.domain.time import FloatArray


def dot(a: FloatArray, b: FloatArray) -> float:
    """sum_i a_i b_i of two vectors (n,)."""
    return float(np.einsum("i,i->", a, b))
