"""What GPUs draw when nobody caps them, learned by class and workload: a histogram each, from which a quantile is read.

A histogram with bins of 10 W takes any number of samples in little space and forgets: when it has seen `half_samples`, all its
counts are halved, so that the last ones weigh more. Below `least_samples` it says nothing, and the class answers for the
workload; when that is silent too, nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from scheduler.domain.job import JobPhase, JobState
from scheduler.domain.time import FloatArray

BIN_W = 10.0
BINS = 250
# A job loads data before it computes; its first minutes are not what it draws.
WARM_UP_S = 300.0
# The pool of all workloads of a class.
WHOLE_CLASS = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawSample:
    """Mean draw per GPU of one job at one instant while it is not capped."""

    class_name: str
    workload: str
    draw_w: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawHistogram:
    """Samples by bin of `BIN_W`, (BINS,); seen_utc: when the last one came."""

    counts: FloatArray
    seen_utc: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawRule:
    """How draws are learned.

    quantile: the median is what energy follows; spikes above it last seconds. max_workloads: of each class; the ones not
    seen for longest go first.
    """

    quantile: float = 0.5
    least_samples: float = 30.0
    half_samples: float = 5000.0
    max_workloads: int = 500


Draws = Mapping[str, Mapping[str, DrawHistogram]]
NaturalDraws = Mapping[tuple[str, str], float]


def shows_natural_draw(state: JobState) -> bool:
    """True while a job draws what it would: running, not capped, past its start."""
    return state.phase is JobPhase.RUNNING and state.cap_w is None and state.run_s >= WARM_UP_S


def learned(
    draws: Draws, samples: Iterable[DrawSample], now_utc: datetime, rule: DrawRule
) -> dict[str, dict[str, DrawHistogram]]:
    """Histograms by class and workload after some samples; what no GPU can draw is left out."""
    after = {name: dict(known) for name, known in draws.items()}
    fresh: dict[tuple[str, str], FloatArray] = {}
    for sample in samples:
        if not (math.isfinite(sample.draw_w) and 0.0 < sample.draw_w < BINS * BIN_W):
            continue
        for workload in {sample.workload, WHOLE_CLASS}:
            counts = fresh.setdefault((sample.class_name, workload), np.zeros(BINS))
            counts[int(sample.draw_w // BIN_W)] += 1.0
    for (class_name, workload), counts in fresh.items():
        known = after.setdefault(class_name, {})
        old = known.pop(workload, None)
        total = counts if old is None else old.counts + counts
        halved = total / 2.0 if float(total.sum()) > rule.half_samples else total
        known[workload] = DrawHistogram(counts=halved, seen_utc=now_utc)
    return {name: _latest(known, rule.max_workloads) for name, known in after.items()}


def _latest(known: dict[str, DrawHistogram], count: int) -> dict[str, DrawHistogram]:
    """The whole class and the `count` workloads seen last."""
    if len(known) <= count + 1:
        return known
    order = sorted((one.seen_utc, name) for name, one in known.items() if name != WHOLE_CLASS)
    kept = {name for _, name in order[-count:]} | {WHOLE_CLASS}
    return {name: one for name, one in known.items() if name in kept}


def natural_draws_w(draws: Draws, rule: DrawRule) -> NaturalDraws:
    """Draw per GPU in W by class and workload, of those that were seen often enough."""
    return {
        (class_name, workload): quantile_w(one.counts, rule.quantile)
        for class_name, known in draws.items()
        for workload, one in known.items()
        if float(one.counts.sum()) >= rule.least_samples
    }


def natural_draw_w(draws: NaturalDraws, class_name: str, workload: str) -> float | None:
    """Draw per GPU in W of a workload, else of its class; None when too little was seen of both."""
    own = draws.get((class_name, workload))
    return draws.get((class_name, WHOLE_CLASS)) if own is None else own


def quantile_w(counts: FloatArray, quantile: float) -> float:
    """Quantile of a histogram in W, the samples of a bin spread evenly over it."""
    total = np.concatenate([[0.0], np.cumsum(counts)])
    edges_w = np.arange(len(counts) + 1) * BIN_W
    wanted = quantile * float(total[-1])
    bin_ = int(np.searchsorted(total, wanted, side="left"))
    low = max(0, bin_ - 1)
    inside = (wanted - total[low]) / counts[low] if counts[low] > 0.0 else 0.0
    return float(edges_w[low] + min(1.0, max(0.0, inside)) * BIN_W)
