"""What a provider said of one quantity, as it said it: intervals in its own unit, before anybody resamples or believes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from scheduler.domain.time import FloatArray, IntArray


class Grade(StrEnum):
    """What a value is: a published one (a day-ahead price) binds, a measured one has happened, a forecast is an opinion."""

    MEASURED = "measured"
    PUBLISHED = "published"
    FORECAST = "forecast"


class Basis(StrEnum):
    """Of which kind a carbon intensity is: average for accounts, marginal for decisions; the two are never mixed."""

    AVERAGE = "average"
    MARGINAL = "marginal"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Told:
    """Values over intervals [starts_s, ends_s), seconds since 1970 in UTC, in any order; they may overlap, repeat, leave gaps.

    quantity: a key of `domain/observed.py`. values: NaN where the provider says that it does not know. unit: the provider's own
    ("EUR/MWh", "GBp/kWh", "lb/MWh", "degC", "kW"), one per answer. mean_over: whether a value is a mean (or sum per hour) over
    its interval, as prices and loads are, or holds at its start, as temperatures do. issued_utc: when the provider made it,
    None when it does not say. basis: of carbon only. remark: what somebody should know of it though the values stand, such as
    that the feed will end.
    """

    quantity: str
    starts_s: IntArray
    ends_s: IntArray
    values: FloatArray
    unit: str
    grade: Grade
    issued_utc: datetime | None = None
    mean_over: bool = True
    basis: Basis | None = None
    remark: str = ""

    def __post_init__(self) -> None:
        """Refuse arrays of different lengths and intervals that end before they start."""
        if not self.starts_s.shape == self.ends_s.shape == self.values.shape or self.values.ndim != 1:
            raise ValueError(
                f"Told {self.quantity!r}: {self.starts_s.shape}, {self.ends_s.shape} and {self.values.shape} differ"
            )
        if bool((self.ends_s <= self.starts_s).any()):
            raise ValueError(f"Told {self.quantity!r}: an interval ends before it starts")
