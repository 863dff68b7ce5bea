"""Signs of life: the operator's in one row, the heartbeat's counter in blocks, plants' counters, and what was turned away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from scheduler.adapters.ledger.rows import aware, in_utc
from scheduler.adapters.plantlink.store.schema import audit_table, beat_table, heard_table, life_table
from scheduler.domain.link_life import LinkedOfftake, OperatorLife
from scheduler.domain.plantlink import PlantSeen, Refusal

# So many heartbeats are counted in memory alone; after a crash the counter goes on behind all that may have been sent.
BLOCK = 1000
MAX_AUDIT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A plant's own sign of life as it was last written down; counter_authenticated: as of `PlantSeen`."""

    heard_utc: datetime
    counter: int | None
    moved_utc: datetime | None
    counter_authenticated: bool = False


# The operator's life.


def life_of(connection: Connection, site_id: str) -> OperatorLife | None:
    """What the operator in charge last said of itself; None when none ever did."""
    row = connection.execute(select(life_table).where(life_table.c.site_id == site_id)).first()
    if row is None:
        return None
    content = json.loads(row.content_json)
    return OperatorLife(
        site_id=row.site_id,
        identity=row.identity,
        host=row.host,
        term=row.term,
        at_utc=aware(row.at_utc),
        offtakes=tuple(LinkedOfftake(**one) for one in content["offtakes"]),
        critical=content["critical"],
        warning=content["warning"],
    )


def keep_life(connection: Connection, life: OperatorLife) -> bool:
    """Say that we live; False when a later leader has spoken already, and nothing is written."""
    if outdated(connection, life.site_id, life.term, life.identity):
        return False
    content = {"offtakes": [asdict(one) for one in life.offtakes], "critical": life.critical, "warning": life.warning}
    row = {
        "site_id": life.site_id,
        "identity": life.identity,
        "host": life.host,
        "term": life.term,
        "at_utc": in_utc(life.at_utc),
        "content_json": json.dumps(content, sort_keys=True),
    }
    _put(connection, life_table, "site_id", row)
    return True


def outdated(connection: Connection, site_id: str, term: int, identity: str) -> bool:
    """Whether a later leader than this one has spoken; of two with one term the first."""
    row = connection.execute(select(life_table.c.term, life_table.c.identity).where(life_table.c.site_id == site_id)).first()
    return row is not None and (row.term > term or (row.term == term and row.identity != identity))


# Counters.


def reserve_beats(connection: Connection, offtake_ids: Sequence[str]) -> dict[str, int]:
    """Reserve a block of counters for each customer; returns the one before the first of it."""
    first: dict[str, int] = {}
    for name in offtake_ids:
        found = connection.scalar(select(beat_table.c.reserved).where(beat_table.c.offtake_id == name))
        first[name] = 0 if found is None else int(found)
        _put(connection, beat_table, "offtake_id", {"offtake_id": name, "reserved": first[name] + BLOCK})
    return first


def keep_heard(connection: Connection, seen: Mapping[str, PlantSeen]) -> None:
    """Write down when each plant was last heard, and where its counter stood."""
    for name, one in seen.items():
        if one.heard_utc is None:
            continue
        moved_utc = None if one.moved_utc is None else in_utc(one.moved_utc)
        row = {
            "offtake_id": name,
            "heard_utc": in_utc(one.heard_utc),
            "counter": one.counter,
            "moved_utc": moved_utc,
            "counter_authenticated": one.counter_authenticated,
        }
        _put(connection, heard_table, "offtake_id", row)


def heard_of(connection: Connection) -> dict[str, Heard]:
    """When each plant was last heard."""
    found = connection.execute(select(heard_table))
    return {
        one.offtake_id: Heard(
            heard_utc=aware(one.heard_utc),
            counter=one.counter,
            moved_utc=None if one.moved_utc is None else aware(one.moved_utc),
            counter_authenticated=one.counter_authenticated,
        )
        for one in found
    }


def _put(connection: Connection, table: Any, key: str, row: Mapping[str, object]) -> None:
    """Replace a row or add it; whoever calls is the only writer of it."""
    if not connection.execute(update(table).where(table.c[key] == row[key]).values(**row)).rowcount:
        connection.execute(insert(table), dict(row))


# What was turned away.


def keep_refusals(connection: Connection, refusals: Iterable[tuple[Refusal, int]]) -> None:
    """Write down what was turned away and how often; of all that, the last ones are kept."""
    rows = [
        {
            "at_utc": in_utc(one.at_utc),
            "protocol": one.protocol.value,
            "sender": one.sender,
            "what": one.what,
            "times": times,
        }
        for one, times in refusals
    ]
    if not rows:
        return
    connection.execute(insert(audit_table), rows)
    newest = connection.scalar(select(func.max(audit_table.c.audit_row)))
    connection.execute(delete(audit_table).where(audit_table.c.audit_row <= int(newest or 0) - MAX_AUDIT))
