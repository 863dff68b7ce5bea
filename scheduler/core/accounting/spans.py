"""Spans of time, half-open, and what of one is left beside others."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

Span = tuple[datetime, datetime]


def without(span: Span, others: Iterable[Span]) -> tuple[Span, ...]:
    """The parts of a span that lie in none of the others, in time order; one that is empty has none."""
    found = [span]
    for start_utc, end_utc in others:
        parts = [part for one in found for part in ((one[0], min(one[1], start_utc)), (max(one[0], end_utc), one[1]))]
        found = [part for part in parts if part[0] < part[1]]
    return tuple(part for part in found if part[0] < part[1])


def joined(spans: Iterable[Span], one: Span) -> tuple[Span, ...]:
    """Disjoint spans with one more, which swallows those that it touches; an empty one adds nothing."""
    start_utc, end_utc = one
    if end_utc <= start_utc:
        return tuple(spans)
    apart = []
    for other in spans:
        if other[1] < start_utc or end_utc < other[0]:
            apart.append(other)
        else:
            start_utc, end_utc = min(start_utc, other[0]), max(end_utc, other[1])
    return (*apart, (start_utc, end_utc))
