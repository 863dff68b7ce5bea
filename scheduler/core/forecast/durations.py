"""How long jobs really run, as a ratio to what was declared: learned, with the running ones as lower bounds.

Short jobs finish first, so the finished ones alone make every cluster look faster than it is. The estimate here is the
Bayesian form of Kaplan and Meier (Susarla and Van Ryzin 1976): a prior distribution of weight M (in jobs), finished jobs as
events, running and paused ones as censored at what they have done. With S0 the prior survival, n jobs, N+(t) ratios above t
and the censored ratios z_1 <= z_2 ... with N(z_i) jobs still at risk:

    S(t) = (M S0(t) + N+(t)) / (M + n) * prod_{z_i <= t} (M S0(z_i) + N(z_i)) / (M S0(z_i) + N(z_i) - 1)

All classes together are drawn to `PRIOR`, each class to all classes; both fade as jobs finish.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from scheduler.domain.job import JobState
from scheduler.domain.outlook import DurationModel
from scheduler.domain.snapshot import FinishedJob
from scheduler.domain.time import FloatArray

ALL_CLASSES = ""
PROBABILITIES = (0.0, 0.02, *(round(0.05 * i, 2) for i in range(1, 20)), 0.97, 0.99, 1.0)
# Ratio at each probability before anything has finished: the declared time is about right, one in twenty takes 1.4 times.
PRIOR_AT = ((0.0, 0.05), (0.1, 0.7), (0.25, 0.9), (0.5, 1.0), (0.75, 1.08), (0.9, 1.25), (0.95, 1.4), (0.99, 2.0), (1.0, 3.0))
PRIOR_JOBS = 5.0
CLASS_PRIOR_JOBS = 15.0
MAX_FINISHED = 3000
MAX_RATIO = 20.0
GRID_STEP = 0.01
# A job beyond everything seen so far is expected to need this much of what it has already done (per unit of exponential time).
LINDY_FRACTION = 0.15

Sample = tuple[FloatArray, FloatArray]


def ratio_grid(sample: Sample) -> FloatArray:
    """Grid of ratios from 0 past the largest one seen and the largest of the prior."""
    largest = max([PRIOR_AT[-1][1], *(float(part.max()) for part in sample if len(part))])
    return np.arange(0.0, largest + 2 * GRID_STEP, GRID_STEP)


def prior_survival(grid: FloatArray) -> FloatArray:
    """Share of jobs that run longer than each ratio, before any evidence."""
    probability, ratio = zip(*PRIOR_AT, strict=True)
    return np.asarray(1.0 - np.interp(grid, ratio, probability, left=0.0, right=1.0))


def survival(grid: FloatArray, before: FloatArray, weight: float, sample: Sample) -> FloatArray:
    """Posterior survival on `grid` by the formula of the module; `before` is the prior's, `sample` is (ended, censored)."""
    ended, censored = np.sort(sample[0]), np.sort(sample[1])
    count = len(ended) + len(censored)
    above = (len(ended) - np.searchsorted(ended, grid, side="right")) + (
        len(censored) - np.searchsorted(censored, grid, side="right")
    )
    alive = (weight * before + above) / (weight + count)
    if not len(censored):
        return np.asarray(alive)
    # Events at z come before the censoring at z: a job that ended exactly there is no longer at risk.
    at_risk = (len(ended) - np.searchsorted(ended, censored, side="right")) + len(censored) - np.arange(len(censored))
    mass = weight * np.interp(censored, grid, before) + at_risk
    factor = np.concatenate([[1.0], np.cumprod(mass / np.maximum(mass - 1.0, 1e-3))])
    return np.asarray(np.minimum(1.0, alive * factor[np.searchsorted(censored, grid, side="right")]))


def quantiles_of(grid: FloatArray, alive: FloatArray) -> FloatArray:
    """Ratios at `PROBABILITIES` from a survival curve."""
    ended = np.maximum.accumulate(1.0 - alive)
    ended = ended + 1e-12 * np.arange(len(ended))
    return np.asarray(np.interp(PROBABILITIES, ended, grid))


def mean_of(ratios: FloatArray) -> float:
    """Mean of a distribution given by its quantiles at `PROBABILITIES`."""
    return float(np.trapezoid(ratios, PROBABILITIES))


def samples(finished: Sequence[FinishedJob], jobs: Iterable[JobState]) -> dict[str, Sample]:
    """Ratios by class: (ended, censored). Jobs that declare nothing, or have not run yet, say nothing."""
    ended: dict[str, list[float]] = {}
    censored: dict[str, list[float]] = {}
    for past in finished[-MAX_FINISHED:]:
        if past.declared_duration_s > 0.0 and past.real_duration_s > 0.0:
            ended.setdefault(past.class_name, []).append(min(MAX_RATIO, past.real_duration_s / past.declared_duration_s))
    for state in jobs:
        if state.work_done_s > 0.0 and state.job.declared_duration_s > 0.0:
            ratio = min(MAX_RATIO, state.work_done_s / state.job.declared_duration_s)
            censored.setdefault(state.job.class_name, []).append(ratio)
    names = sorted(ended.keys() | censored.keys())
    return {name: (np.asarray(ended.get(name, []), float), np.asarray(censored.get(name, []), float)) for name in names}


def learn_durations(finished: Sequence[FinishedJob], jobs: Iterable[JobState]) -> DurationModel:
    """Learn the ratio of real to declared duration from finished jobs (in order of ending) and from those still in work."""
    by_class = samples(finished, jobs)
    everything: Sample = (
        np.concatenate([part[0] for part in by_class.values()] or [np.empty(0)]),
        np.concatenate([part[1] for part in by_class.values()] or [np.empty(0)]),
    )
    grid = ratio_grid(everything)
    pooled = survival(grid, prior_survival(grid), PRIOR_JOBS, everything)
    curves = {ALL_CLASSES: pooled} | {
        name: survival(grid, pooled, CLASS_PRIOR_JOBS, sample) for name, sample in by_class.items()
    }
    ratios = {name: quantiles_of(grid, curve) for name, curve in curves.items()}
    return DurationModel(
        probabilities=PROBABILITIES,
        ratio_quantiles={name: tuple(float(v) for v in values) for name, values in ratios.items()},
        mean_ratio={name: mean_of(values) for name, values in ratios.items()},
    )


def ratios_of(model: DurationModel, class_name: str) -> tuple[float, ...]:
    """Quantiles of a class, of all classes when it is unknown."""
    return model.ratio_quantiles.get(class_name, model.ratio_quantiles[ALL_CLASSES])


def ended_share(model: DurationModel, class_name: str, declared_s: float, done_s: float) -> float:
    """Probability that a job of this class has ended before `done_s`."""
    if done_s <= 0.0 or declared_s <= 0.0:
        return 0.0
    ratios = ratios_of(model, class_name)
    return float(np.interp(done_s / declared_s, ratios, model.probabilities))


def beyond_s(done_s: float, quantile: float) -> float:
    """Remaining seconds of a job that has outrun everything seen: in proportion to its age."""
    return LINDY_FRACTION * done_s * -float(np.log(max(1.0 - quantile, 1e-3)))


def still_running(model: DurationModel, class_name: str, told_s: float, done_s: float, ahead_s: FloatArray) -> FloatArray:
    """Probability that a job which has run `done_s` still runs after `ahead_s` more seconds, same shape as `ahead_s`."""
    gone = ended_share(model, class_name, told_s, done_s)
    if gone >= 1.0:
        scale_s = max(1.0, beyond_s(done_s, 1.0 - float(np.exp(-1.0))))
        return np.asarray(np.exp(-np.maximum(0.0, ahead_s) / scale_s))
    share = np.interp((done_s + np.maximum(0.0, ahead_s)) / told_s, ratios_of(model, class_name), model.probabilities)
    return np.asarray(np.where(ahead_s < 0.0, 0.0, (1.0 - share) / (1.0 - gone)))


def remaining_work_s(model: DurationModel, class_name: str, declared_s: float, done_s: float, quantile: float) -> float:
    """Quantile of the uncapped seconds still to run, given that the job has run `done_s` and has not ended.

    Q(p0 + q (1 - p0)) * declared - done, with p0 = F(done / declared); never negative.
    """
    share = ended_share(model, class_name, declared_s, done_s)
    if share >= 1.0:
        return beyond_s(done_s, quantile)
    ratio = float(np.interp(share + quantile * (1.0 - share), model.probabilities, ratios_of(model, class_name)))
    return max(0.0, ratio * declared_s - done_s)


def mean_remaining_work_s(model: DurationModel, class_name: str, declared_s: float, done_s: float) -> float:
    """Mean of the uncapped seconds still to run, given that the job has run `done_s` and has not ended."""
    share = ended_share(model, class_name, declared_s, done_s)
    if share >= 1.0:
        return LINDY_FRACTION * done_s
    inside = [p for p in model.probabilities if p > share]
    grid = np.asarray([share, *inside])
    ratio = np.interp(grid, model.probabilities, ratios_of(model, class_name))
    mean = float(np.trapezoid(ratio, grid)) / (1.0 - share)
    return max(0.0, mean * declared_s - done_s)
