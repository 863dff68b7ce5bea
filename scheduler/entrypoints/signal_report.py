"""What chains say now, as plain values: for `signals check` as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np

from scheduler.adapters.sources.chain import Choice
from scheduler.core.accounting.told import age_of, believed, useless
from scheduler.domain.observed import Origin, SourceReading, unit_of
from scheduler.entrypoints.signal_chains import Chains, Link, Linked
from scheduler.units import S_PER_H

# What is shown of a series: enough to see yesterday evening, today and the day that is published.
BACK, AHEAD = timedelta(hours=12), timedelta(hours=36)
HORIZON = timedelta(hours=48)
USED, FILLS, READY, REFUSED = "used", "fills", "ready", "refused"

Report = dict[str, Any]


def report_of(chains: Chains, now_utc: datetime, horizon: timedelta = HORIZON) -> Report:
    """Every chain of every policy, and with whom a plan so long would be made."""
    all_of_them = ((policy, linked) for policy in chains.policies for linked in chains.of(policy))
    found = [(linked, chain_report(policy, linked, now_utc, horizon)) for policy, linked in all_of_them]
    told = [one for linked, one in found if linked.stated or one["usable"]]
    return {"atUtc": stamp(now_utc), "usable": all(one["usable"] for one in told), "chains": told}


def chain_report(policy: str, linked: Linked, now_utc: datetime, horizon: timedelta = HORIZON) -> Report:
    """One chain: its links, and what a plan would be made with."""
    choice = linked.choice(now_utc)
    reading = None if choice is None else choice.reading
    parts = [] if reading is None else list(_parts(reading, now_utc, now_utc + horizon))
    usable = choice is not None and choice.depth is not None
    return {
        "policy": policy,
        "field": linked.field,
        "quantity": linked.quantity,
        "unit": unit_of(linked.quantity),
        "usable": usable,
        "depth": choice.depth if choice is not None else None,
        "links": [_link(place, link, choice, parts, now_utc) for place, link in enumerate(linked.links)],
        "notMade": list(linked.refused),
        "plan": parts if usable else [],
        "lately": None if reading is None else _lately(reading, now_utc),
    }


def _link(place: int, link: Link, choice: Choice | None, parts: Sequence[Report], now_utc: datetime) -> Report:
    """One source of a chain: what came of it, and whether that is used."""
    told = next((one for one in link.source.readings(now_utc) if one.quantity == link.quantity), None)
    trouble = link.source.trouble()
    found: Report = {"name": link.source.name, "provider": link.provider, "state": REFUSED, "why": [trouble] if trouble else []}
    if told is None:
        return found if found["why"] else found | {"why": ["nothing came"]}
    reading, wrong = believed(told, now_utc)
    why = useless(reading, now_utc, {link.quantity: link.max_age_s})
    found["why"] += [*wrong, *([why] if why else [])]
    if not why:
        helps = any(part["source"] == link.source.name for part in parts)
        used = choice is not None and choice.depth == place
        found["state"] = USED if used else FILLS if helps else READY
    return found | _came(reading, now_utc)


def _came(reading: SourceReading, now_utc: datetime) -> Report:
    """What came: when, how old, in which steps, from when to when."""
    series = reading.series
    known = np.flatnonzero(np.isfinite(series.values))
    found: Report = {
        "heardUtc": stamp(reading.fetched_utc),
        "ageS": age_of(reading.fetched_utc, now_utc),
        "issuedUtc": None if reading.issued_utc is None else stamp(reading.issued_utc),
        "slotS": series.grid.slot_s,
        "values": len(known),
        "assumed": reading.assumed,
        "basis": None if reading.basis is None else reading.basis.value,
    }
    if len(known):
        found["fromUtc"] = stamp(series.grid.time_of(int(known[0])))
        found["toUtc"] = stamp(series.grid.time_of(int(known[-1]) + 1))
    return found


def _parts(reading: SourceReading, now_utc: datetime, end_utc: datetime) -> Iterator[Report]:
    """Which source is used from when to when, from now on; slots that nobody knows are left out."""
    grid, origins = reading.series.grid, reading.origins
    first, stop = max(0, grid.slot_of(now_utc)), min(grid.slots, grid.slot_of(end_utc))
    said = [_origin(reading, slot) for slot in range(first, stop)]
    at = first
    for origin, slots in groupby(said):
        count = len(list(slots))
        if origin is not None:
            yield {
                "source": origin.source,
                "grade": None if origin.grade is None else origin.grade.value,
                "assumed": reading.assumed and not origins.parts,
                "fromUtc": stamp(max(now_utc, grid.time_of(at))),
                "toUtc": stamp(grid.time_of(at + count)),
            }
        at += count


def _origin(reading: SourceReading, slot: int) -> Origin | None:
    """Who said a slot; None when it is not known."""
    origins = reading.origins
    if not np.isfinite(reading.series.values[slot]):
        return None
    if not origins.parts:
        return Origin(source=reading.source)
    place = int(origins.slots[slot])
    return origins.parts[place] if place >= 0 else None


def _lately(reading: SourceReading, now_utc: datetime) -> Report | None:
    """Means of the hours around now; None where an hour is not known at all."""
    grid, values = reading.series.grid, reading.series.values
    first_s, last_s = (int((now_utc + by).timestamp() // S_PER_H * S_PER_H) for by in (-BACK, AHEAD))
    hours: list[float | None] = []
    for start_s in range(first_s, last_s, int(S_PER_H)):
        low = (start_s - grid.start_utc.timestamp()) / grid.slot_s
        piece = values[max(0, int(low)) : max(0, int(low + S_PER_H / grid.slot_s))]
        known = piece[np.isfinite(piece)]
        hours.append(float(known.mean()) if len(known) else None)
    told = [one for one in hours if one is not None]
    if not told:
        return None
    start_utc = datetime.fromtimestamp(first_s, tz=now_utc.tzinfo)
    return {"startUtc": stamp(start_utc), "hours": hours, "low": min(told), "high": max(told)}


def stamp(at_utc: datetime) -> str:
    """`2026-11-21T23:00:00Z`."""
    return at_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
