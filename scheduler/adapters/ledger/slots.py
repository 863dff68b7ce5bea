"""The law of the ledger: slots of a plug neither overlap nor leave gaps (design invariant 7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from scheduler.domain.errors import Permanent
from scheduler.domain.ledger import LedgerEntry

Span = tuple[datetime, datetime]


def span(entry: LedgerEntry) -> Span:
    """[start, end) of an entry."""
    return entry.start_utc, entry.start_utc + timedelta(seconds=entry.duration_s)


def refuse_overlap(entries: Iterable[LedgerEntry], known: Iterable[LedgerEntry]) -> None:
    """Raise when an entry overlaps another slot of its plug; the same slot again is a correction and fine.

    Raises:
        Permanent: names both slots.
    """
    for plug_id, spans in by_plug([*known, *entries]).items():
        ordered = sorted(set(spans))
        for (start, end), (next_start, next_end) in zip(ordered[:-1], ordered[1:], strict=True):
            if next_start < end:
                text = f"{start:%Y-%m-%dT%H:%M}..{end:%H:%M} and {next_start:%Y-%m-%dT%H:%M}..{next_end:%H:%M}"
                raise Permanent(f"ledger of plug {plug_id}: slots {text} overlap")


def by_plug(entries: Iterable[LedgerEntry]) -> dict[str, list[Span]]:
    """Spans of entries by plug."""
    found: dict[str, list[Span]] = {}
    for entry in entries:
        found.setdefault(entry.plug_id, []).append(span(entry))
    return found


def gaps(entries: Sequence[LedgerEntry], start_utc: datetime, end_utc: datetime) -> tuple[Span, ...]:
    """Stretches of [start, end) that no entry covers; entries in time order, one per slot."""
    found: list[Span] = []
    reached = start_utc
    for entry in entries:
        first, after = span(entry)
        if first > reached:
            found.append((reached, min(first, end_utc)))
        reached = max(reached, after)
    if reached < end_utc:
        found.append((reached, end_utc))
    return tuple(found)
