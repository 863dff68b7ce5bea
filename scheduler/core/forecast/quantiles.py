"""Quantiles that never cross, and bands from residuals."""

from __future__ import annotations

import numpy as np

from scheduler.domain.snapshot import Band
from scheduler.domain.time import FloatArray

# Lead hours at which the buckets of residuals end: near hours are surer than far ones.
BUCKET_ENDS_H = (1, 3, 6, 12, 24, 48, 96, 192)


def weighted_quantile(values: FloatArray, weight: FloatArray, probability: float) -> float:
    """Quantile of a weighted sample by linear interpolation between mid-ranks; NaN values and zero weights are left out.

    NaN for an empty sample.
    """
    use = np.isfinite(values) & (weight > 0.0)
    if not np.any(use):
        return float("nan")
    order = np.argsort(values[use], kind="stable")
    value, w = values[use][order], weight[use][order]
    mid = (np.cumsum(w) - 0.5 * w) / w.sum()
    return float(np.interp(probability, mid, value))


def buckets(leads: int) -> list[tuple[int, int]]:
    """Half-open ranges of lead columns (column i is lead i + 1) that share their residuals."""
    ends = [end for end in BUCKET_ENDS_H if end < leads] + [leads]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def spread(residual: FloatArray, weight: FloatArray, probability: float, fallback: FloatArray) -> FloatArray:
    """Residual quantile per lead, (leads,), from `residual` (m, leads) by bucket of leads, linear between bucket middles.

    fallback: (leads,) used, in whole buckets, where fewer than 30 residuals are known.
    """
    leads = residual.shape[1]
    middles, levels = [], []
    for low, high in buckets(leads):
        block = residual[:, low:high]
        w = np.broadcast_to(weight[:, None], block.shape)
        enough = int(np.isfinite(block[weight > 0.0]).sum()) >= 30
        middles.append((low + high - 1) / 2.0)
        levels.append(weighted_quantile(block.ravel(), w.ravel(), probability) if enough else float(fallback[low:high].mean()))
    return np.asarray(np.interp(np.arange(leads), middles, levels))


def band(p10: FloatArray, p50: FloatArray, p90: FloatArray, ceiling: float) -> Band:
    """A band within [0, ceiling] whose quantiles do not cross: the median has the last word."""
    middle = np.clip(p50, 0.0, ceiling)
    return Band(
        p10=np.clip(np.minimum(p10, middle), 0.0, ceiling),
        p50=middle,
        p90=np.clip(np.maximum(p90, middle), 0.0, ceiling),
    )
