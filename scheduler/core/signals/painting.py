"""Which of many overlapping intervals counts where: a segment tree over all edges, in whole arrays."""

from __future__ import annotations

import numpy as np

from scheduler.domain.time import IntArray


def painted(first: IntArray, stop: IntArray, weight: IntArray, count: int) -> IntArray:
    """The largest weight among ranges [first, stop) that cover each of `count` places; -1 where none does, (count,).

    A range is at most two nodes on each level of the tree, so n ranges over m places take O((n + m) log m), however they
    overlap. Weights are at least 0.
    """
    size = 1 << max(0, count - 1).bit_length()
    tree = np.full(2 * size, -1, dtype=np.int64)
    low, high, mine = first + size, stop + size, weight
    while len(low):
        left, right = low & 1 == 1, high & 1 == 1
        np.maximum.at(tree, low[left], mine[left])
        np.maximum.at(tree, high[right] - 1, mine[right])
        low, high = (low + left) >> 1, (high - right) >> 1
        going = low < high
        low, high, mine = low[going], high[going], mine[going]
    node = 1
    while node < size:
        below = tree[2 * node : 4 * node].reshape(-1, 2)
        np.maximum(below, tree[node : 2 * node, None], out=below)
        node *= 2
    return tree[size : size + count]
