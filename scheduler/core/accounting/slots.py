"""The law of the ledger: slots of a plug neither overlap nor leave gaps, and a number is a number (design invariant 7)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime, timedelta

from scheduler.domain.ledger import CycleEntry, LedgerEntry

Span = tuple[datetime, datetime]
# The longest slot that may stand in the ledger; how far an overlap must be looked for.
LONGEST_SLOT = timedelta(days=1)


def span(entry: LedgerEntry) -> Span:
    """[start, end) of an entry."""
    return entry.start_utc, entry.start_utc + timedelta(seconds=entry.duration_s)


def refusal(entries: Sequence[LedgerEntry], known: Sequence[LedgerEntry]) -> str:
    """Why a batch of new entries cannot stand beside the known ones; empty when it can.

    known: entries of the same plugs, at least all that begin less than `LONGEST_SLOT` from a new one.
    """
    for entry in entries:
        wrong = malformed(entry)
        if wrong:
            return f"ledger entry {entry.entry_id}: {wrong}"
    return overlap(known, entries) or taken(known, entries)


def malformed(entry: LedgerEntry) -> str:
    """What is wrong with one entry by itself; empty when nothing is. "Not known" is None, never NaN."""
    if entry.start_utc.utcoffset() is None:
        return "its start has no time zone"
    if not 0 < entry.duration_s <= LONGEST_SLOT.total_seconds():
        return f"a slot of {entry.duration_s} s"
    if entry.revision < 0:
        return f"revision {entry.revision}"
    return unnumbered(entry) or next(
        (f"eur {name} is {value}" for name, value in entry.eur.items() if not math.isfinite(value)), ""
    )


def malformed_cycle(entry: CycleEntry) -> str:
    """What is wrong with a cycle's entry; a bound of minus infinity is one ("nothing is proven"), NaN is not."""
    if entry.at_utc.utcoffset() is None:
        return "its instant has no time zone"
    wrong = [field.name for field in fields(entry) if _is_nan(getattr(entry, field.name))]
    return f"{wrong[0]} is NaN" if wrong else ""


def unnumbered(entry: LedgerEntry) -> str:
    """Name the first quantity that is neither a finite number nor None."""
    for field in fields(entry):
        value = getattr(entry, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            return f"{field.name} is {value}"
    return ""


def _is_nan(value: object) -> bool:
    """True for the float NaN."""
    return isinstance(value, float) and math.isnan(value)


def overlap(known: Iterable[LedgerEntry], entries: Iterable[LedgerEntry]) -> str:
    """Name two slots of a plug that overlap; the same slot again is a correction and fine."""
    for plug_id, spans in by_plug([*known, *entries]).items():
        ordered = sorted(set(spans))
        for (start, end), (next_start, next_end) in zip(ordered[:-1], ordered[1:], strict=True):
            if next_start < end:
                text = f"{start:%Y-%m-%dT%H:%M}..{end:%H:%M} and {next_start:%Y-%m-%dT%H:%M}..{next_end:%H:%M}"
                return f"ledger of plug {plug_id}: slots {text} overlap"
    return ""


def taken(known: Iterable[LedgerEntry], entries: Iterable[LedgerEntry]) -> str:
    """Name a revision of a slot that two ids claim."""
    owner: dict[tuple[str, datetime, int], str] = {}
    for entry in (*known, *entries):
        first = owner.setdefault((entry.plug_id, entry.start_utc, entry.revision), entry.entry_id)
        if first != entry.entry_id:
            slot = f"{entry.start_utc:%Y-%m-%dT%H:%M} revision {entry.revision}"
            return f"ledger of plug {entry.plug_id}: {slot} is there as {first}, not as {entry.entry_id}"
    return ""


def by_plug(entries: Iterable[LedgerEntry]) -> dict[str, list[Span]]:
    """Spans of entries by plug."""
    found: dict[str, list[Span]] = {}
    for entry in entries:
        found.setdefault(entry.plug_id, []).append(span(entry))
    return found


def latest_revisions(entries: Iterable[LedgerEntry]) -> tuple[LedgerEntry, ...]:
    """The last word on each slot of one plug, in time order."""
    latest: dict[datetime, LedgerEntry] = {}
    for entry in entries:
        kept = latest.get(entry.start_utc)
        if kept is None or entry.revision > kept.revision:
            latest[entry.start_utc] = entry
    return tuple(latest[at] for at in sorted(latest))


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
