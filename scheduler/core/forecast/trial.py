"""Forecasts judged: what was said at many origins beside what came, and what simple references would have said.

Column i of every array is lead i + 1: the hour that begins i hours after the origin. References:

    persistence   the same hour of the last known day
    last week     the same hour one week before (of a known week where the lead is longer): the seasonal-naive forecast
    week mean     mean of that hour of the week over the last eight weeks

skill = 1 - MAE / MAE of the reference; above zero is better than the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.domain.outlook import Skill
from scheduler.domain.time import BoolArray, FloatArray, IntArray

# Leads in hours, first and last; "day ahead" is what a forecast made at noon says of the next local day.
DAY_AHEAD = (13, 36)
NEXT_H = 24
BUCKETS_H = ((1, 6), (7, 24), (25, 48), (49, 96), (97, 168), (169, 336))
# A relative error is not taken of a truth below this share of the mean truth: the last kilowatts of summer are no measure.
LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """One forecast quantity at many origins: forecast, truth and references, all (origins, leads); NaN: does not count.

    origin_h: hour number of each origin, (origins,). low, high: p10 and p90 where the quantity has a band. relative: whether
    its zero means "nothing", so that errors may be told in per cent.
    """

    name: str
    unit: str
    origin_h: IntArray
    predicted: FloatArray
    actual: FloatArray
    persistence: FloatArray
    last_week: FloatArray
    week_mean: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None
    relative: bool = True

    @property
    def judged(self) -> BoolArray:
        """Where every contender and the truth are known, (origins, leads)."""
        return np.isfinite(self.actual + self.predicted + self.persistence + self.last_week + self.week_mean)

    def mae(self, what: FloatArray, columns: slice = slice(None)) -> float | None:
        """Mean absolute error of a forecast over leads `columns`, where all can be judged."""
        both = self.judged[:, columns]
        return float(np.abs(what - self.actual)[:, columns][both].mean()) if np.any(both) else None

    def skill(self, columns: slice = slice(None)) -> Skill:
        """Skill over leads `columns`."""
        mae = self.mae(self.predicted, columns)
        return Skill(
            name=self.name,
            mae=mae,
            against_persistence=relative(mae, self.mae(self.persistence, columns)),
            against_hour_of_week=relative(mae, self.mae(self.week_mean, columns)),
            against_last_week=relative(mae, self.mae(self.last_week, columns)),
        )

    def score(self, label: str, columns: slice = slice(None)) -> Score | None:
        """All figures over leads `columns`; None where nothing can be judged."""
        both = self.judged[:, columns]
        if not np.any(both):
            return None
        error = (self.predicted - self.actual)[:, columns][both]
        actual = self.actual[:, columns][both]
        skill = self.skill(columns)
        size = float(np.abs(actual).mean())
        tellable = np.abs(actual) > LEAST_SHARE * size
        percentage = np.abs(error[tellable] / actual[tellable]) if self.relative else np.empty(0)
        above, below, width = self._band(columns, both)
        return Score(
            label=label,
            hours=int(both.sum()),
            mean=float(actual.mean()),
            mae=float(np.abs(error).mean()),
            mape_fraction=float(percentage.mean()) if len(percentage) else None,
            bias=float(error.mean()),
            against_persistence=skill.against_persistence,
            against_last_week=skill.against_last_week,
            against_hour_of_week=skill.against_hour_of_week,
            above_p10=above,
            below_p90=below,
            width=width,
        )

    def _band(self, columns: slice, both: BoolArray) -> tuple[float | None, float | None, float | None]:
        """Share of the hours above p10, share below p90, mean width of the band."""
        if self.low is None or self.high is None:
            return None, None, None
        low, high, actual = (part[:, columns][both] for part in (self.low, self.high, self.actual))
        return float((actual >= low).mean()), float((actual <= high).mean()), float((high - low).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How good one forecast was over some leads, in the quantity's unit; None where it cannot be told.

    bias: mean of forecast minus truth. above_p10: share of the hours at or above p10 (0.9 is calibrated); below_p90 likewise.
    """

    label: str
    hours: int
    mean: float
    mae: float
    mape_fraction: float | None
    bias: float
    against_persistence: float | None
    against_last_week: float | None
    against_hour_of_week: float | None
    above_p10: float | None
    below_p90: float | None
    width: float | None


def relative(mae: float | None, reference: float | None) -> float | None:
    """1 - mae / reference; None when one is unknown or the reference made no error at all."""
    return None if mae is None or reference is None or reference <= 0.0 else 1.0 - mae / reference


def lead_ranges(leads: int) -> list[tuple[str, slice]]:
    """Named ranges of lead columns: by distance, the next 24 hours, the day ahead, all of them."""
    near = [(first, min(last, leads)) for first, last in BUCKETS_H if first <= leads]
    named = [(f"{first}-{last} h", slice(first - 1, last)) for first, last in near]
    if leads > NEXT_H:
        named.append((f"1-{NEXT_H} h", slice(0, NEXT_H)))
    if leads >= DAY_AHEAD[1]:
        named.append(("day ahead", slice(DAY_AHEAD[0] - 1, DAY_AHEAD[1])))
    return [*named, ("all", slice(0, leads))]


def scores(trial: Trial) -> list[Score]:
    """Scores of one quantity over the named ranges that can be judged."""
    found = [trial.score(label, columns) for label, columns in lead_ranges(trial.actual.shape[1])]
    return [score for score in found if score is not None]


def stacked(name: str, unit: str, origin_h: IntArray, rows: Sequence[Sequence[FloatArray]], *, relative: bool = True) -> Trial:
    """A trial from rows of (predicted, actual, persistence, last week, week mean[, low, high]), one per origin."""
    table = [np.asarray(column) for column in zip(*rows, strict=True)]
    band = table[5:] if len(table) > 5 else [None, None]
    return Trial(
        name=name,
        unit=unit,
        origin_h=origin_h,
        predicted=table[0],
        actual=table[1],
        persistence=table[2],
        last_week=table[3],
        week_mean=table[4],
        low=band[0],
        high=band[1],
        relative=relative,
    )
