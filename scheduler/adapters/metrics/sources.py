"""What sources did and how old their words are, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from scheduler.adapters.metrics.registry import Metrics
from scheduler.core.signals.refusals import Reject
from scheduler.domain.observed import SourceReading

# What the depth of a quantity is of which nobody has said anything usable.
NOTHING_USABLE = -1.0


class Outcome(StrEnum):
    """How a poll ended. partial: with values, but less than there should be. nothing: the source says that it has none yet."""

    GOOD = "good"
    PARTIAL = "partial"
    NOTHING = "nothing"
    UNANSWERED = "unanswered"
    MALFORMED = "malformed"
    UNUSABLE = "unusable"


class SourceMetrics:
    """Counts polls and rejected values as they happen; ages are told when somebody asks for them."""

    def __init__(self, metrics: Metrics) -> None:
        """Into which registry."""
        self._metrics = metrics

    def polled(self, source: str, outcome: Outcome) -> None:
        """One poll is over."""
        for reason in Reject:
            self._metrics.begin("source_rejected_values_total", source=source, reason=reason.value)
        self._metrics.add("source_polls_total", source=source, outcome=outcome.value)

    def rejected(self, source: str, reason: str, count: int) -> None:
        """So many values were told and not taken."""
        self._metrics.add("source_rejected_values_total", float(count), source=source, reason=reason)

    def gauges(self, readings: Iterable[SourceReading], depths: Mapping[str, Sequence[int | None]], now_utc: datetime) -> None:
        """Set ages, last successes and depths; what is not named any more vanishes.

        Args:
            readings: what every source says itself, before any chain.
            depths: by quantity, `Choice.depth` of each chain; the worst one is shown.
            now_utc: against which ages are.
        """
        age_s, heard_s = dict[tuple[str, ...], float](), dict[tuple[str, ...], float]()
        for one in readings:
            labels = one.source, one.quantity
            heard_s[labels] = one.fetched_utc.timestamp()
            age_s[labels] = (now_utc - one.fetched_utc).total_seconds()
        self._metrics.replace("source_age_seconds", age_s)
        self._metrics.replace("source_last_success_timestamp_seconds", heard_s)
        worst: dict[tuple[str, ...], float] = {(quantity,): _worst(found) for quantity, found in depths.items() if found}
        self._metrics.replace("source_fallback_depth", worst)


def _worst(depths: Sequence[int | None]) -> float:
    """The deepest one; -1 when a chain has nothing usable."""
    known = [depth for depth in depths if depth is not None]
    return float(max(known)) if len(known) == len(depths) else NOTHING_USABLE
