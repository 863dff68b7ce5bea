"""The archive of messages and promises: each sequence once, drawn in the transaction that keeps the message."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, func, insert, select

from scheduler.adapters.ledger.rows import aware, in_utc
from scheduler.adapters.plantlink.store.schema import commitment_table, message_table
from scheduler.core.publishing.binding import Told
from scheduler.core.publishing.message import parsed
from scheduler.domain.snapshot import Commitment

# A promise without a gate is told from the others by an instant that no gate has.
NO_GATE = datetime(1970, 1, 1, tzinfo=UTC)
KNOWN = {one.name for one in fields(Commitment)}
INSTANTS = {"start_utc", "end_utc", "gate_utc"}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMessage:
    """A HeatSchedule as it was kept: its row, the payload, and the bytes that go on the wire."""

    row: int
    offtake_id: str
    sequence: int
    kept_utc: datetime
    payload: Mapping[str, object]
    data: bytes


def canonical(payload: Mapping[str, object]) -> bytes:
    """A payload as it is sent and kept: the same content gives the same bytes."""
    return json.dumps(payload, separators=(",", ":"), sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def last_sequence(connection: Connection, offtake_id: str) -> int | None:
    """The newest sequence of one customer; None before the first."""
    query = select(func.max(message_table.c.sequence)).where(message_table.c.offtake_id == offtake_id)
    found = connection.scalar(query)
    return None if found is None else int(found)


def keep_message(connection: Connection, payload: Mapping[str, object], plan_id: str, now_utc: datetime) -> None:
    """Write a message down; its sequence must be the one after `last_sequence` of the same transaction."""
    until_utc = parsed(payload["validUntil"])
    assert until_utc is not None, "only messages that were made by us are kept"
    row = {
        "offtake_id": payload["offtakeId"],
        "sequence": payload["sequence"],
        "message_id": payload["messageId"],
        "kind": payload["kind"],
        "plan_id": plan_id,
        "kept_utc": in_utc(now_utc),
        "valid_until_utc": in_utc(until_utc),
        "payload": zlib.compress(canonical(payload)),
    }
    connection.execute(insert(message_table), row)


def message_of(row: Any) -> KeptMessage:
    """The message of a row."""
    data = zlib.decompress(row.payload)
    return KeptMessage(
        row=row.message_row,
        offtake_id=row.offtake_id,
        sequence=row.sequence,
        kept_utc=aware(row.kept_utc),
        payload=json.loads(data),
        data=data,
    )


def newest_messages(connection: Connection, after_row: int = 0) -> dict[str, KeptMessage]:
    """The newest message of each customer, as far as it stands after a row."""
    table = message_table.c
    newest = (
        select(func.max(table.message_row).label("message_row"))
        .where(table.message_row > after_row)
        .group_by(table.offtake_id)
        .subquery()
    )
    query = select(message_table).join(newest, table.message_row == newest.c.message_row)
    return {one.offtake_id: message_of(one) for one in connection.execute(query)}


def messages_between(connection: Connection, offtake_id: str, start_utc: datetime, end_utc: datetime) -> Iterator[KeptMessage]:
    """Messages that were kept in [start, end), by sequence."""
    table = message_table.c
    query = (
        select(message_table)
        .where(table.offtake_id == offtake_id, table.kept_utc >= in_utc(start_utc), table.kept_utc < in_utc(end_utc))
        .order_by(table.sequence)
    )
    for one in connection.execute(query):
        yield message_of(one)


# Promises.


def keep_commitments(connection: Connection, promises: Sequence[Commitment], sequence: int, now_utc: datetime) -> int:
    """Write promises down that are not there yet, by customer, delivery time and gate; returns how many were new."""
    table, new = commitment_table.c, 0
    for promise in promises:
        gate_utc = in_utc(promise.gate_utc or NO_GATE)
        there = select(table.commitment_row).where(
            table.offtake_id == promise.offtake_id,
            table.start_utc == in_utc(promise.start_utc),
            table.end_utc == in_utc(promise.end_utc),
            table.gate_utc == gate_utc,
        )
        if connection.scalar(there) is not None:
            continue
        row = {
            "offtake_id": promise.offtake_id,
            "start_utc": in_utc(promise.start_utc),
            "end_utc": in_utc(promise.end_utc),
            "gate_utc": gate_utc,
            "firm_kw": promise.firm_kw,
            "sequence": sequence,
            "kept_utc": in_utc(now_utc),
            "detail_json": json.dumps(_detail(promise), sort_keys=True, allow_nan=False),
        }
        connection.execute(insert(commitment_table), row)
        new += 1
    return new


def _detail(promise: Commitment) -> dict[str, object]:
    """What a promise says beside its columns."""
    said = {name: value for name, value in asdict(promise).items() if name not in INSTANTS}
    return {name: value for name, value in said.items() if value is None or isinstance(value, str | int | float | bool)}


def commitments_between(
    connection: Connection, offtake_ids: Sequence[str], start_utc: datetime, end_utc: datetime
) -> tuple[Commitment, ...]:
    """Promises of some customers whose delivery overlaps [start, end), in time order."""
    table = commitment_table.c
    query = (
        select(commitment_table)
        .where(table.offtake_id.in_(offtake_ids), table.end_utc > in_utc(start_utc), table.start_utc < in_utc(end_utc))
        .order_by(table.start_utc, table.commitment_row)
    )
    return tuple(_commitment(one) for one in connection.execute(query))


def told_between(connection: Connection, offtake_id: str, start_utc: datetime, end_utc: datetime) -> tuple[Told, ...]:
    """The same of one customer, by the sequence of the schedule in which it was told."""
    table = commitment_table.c
    query = (
        select(commitment_table)
        .where(table.offtake_id == offtake_id, table.end_utc > in_utc(start_utc), table.start_utc < in_utc(end_utc))
        .order_by(table.sequence, table.start_utc, table.commitment_row)
    )
    rows = groupby(connection.execute(query), key=lambda row: int(row.sequence))
    return tuple(Told(sequence=sequence, commitments=tuple(map(_commitment, group))) for sequence, group in rows)


def _commitment(row: Any) -> Commitment:
    """The promise of a row; what a later version said of it beside is left out."""
    gate_utc = aware(row.gate_utc)
    said: dict[str, Any] = {name: value for name, value in json.loads(row.detail_json).items() if name in KNOWN}
    said |= {
        "offtake_id": row.offtake_id,
        "start_utc": aware(row.start_utc),
        "end_utc": aware(row.end_utc),
        "gate_utc": None if gate_utc == NO_GATE else gate_utc,
        "firm_kw": row.firm_kw,
    }
    return Commitment(**said)
