"""Letters of plants in the database: kept once, in the order in which they were believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from scheduler.adapters.ledger.rows import aware, in_utc
from scheduler.adapters.plantlink.store.schema import clear_table, letter_table
from scheduler.core.publishing.letters import NotALetter, body_of
from scheduler.core.publishing.payloads import kind_of, payload_of
from scheduler.domain.plantlink import Letter, LinkProtocol, Sender

# Measurements carry their own instant: the same one twice is a repeat, however much came between.
DATED = frozenset({"network", "tank", "meter"})
# What was said and is said again within this time is not written down again; later it is, since it is then known to hold still.
AGAIN = timedelta(seconds=600)
# What stays true until something else is said, however long.
LASTING = frozenset({"override", "acknowledgement", "maintenance"})
# Of each kind so many of the newest letters say how things stand, with a credential and without: strangers push out none of
# those who show one. Measurements before them are superseded.
STANDING = {"demand": 1, "network": 1, "tank": 1, "acknowledgement": 8, "request": 50, "maintenance": 200, "override": 50}
# Only these may be forgotten; the database refuses the others.
FORGOTTEN = ("network", "tank", "demand")
LOOKED_BACK = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLetter:
    """A letter and its row, which orders all letters."""

    row: int
    letter: Letter


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """Our operator ended the manual override of an offtake, as far as it was known then: up to the letter of `letter_row`."""

    row: int
    offtake_id: str
    letter_row: int
    at_utc: datetime
    who: str


def keep_letters(connection: Connection, letters: Sequence[Letter]) -> list[int | None]:
    """Write letters down in their order; each one's row, or None for a repeat. Nobody else may write meanwhile."""
    return [_keep(connection, letter) for letter in letters]


def _keep(connection: Connection, letter: Letter) -> int | None:
    kind, payload = kind_of(letter.body), payload_of(letter.body)
    text = json.dumps(payload, separators=(",", ":"), sort_keys=True, allow_nan=False)
    turn = 0
    if kind not in DATED:
        before = _same_subject(connection, letter, kind, payload)
        if before is not None:
            turn = before.letter_row
            if before.payload_json == text and _still_said(connection, letter, kind, before):
                return None
    # What a stranger has said is no repeat of it for who shows a credential: it holds less. Nor what a customer has said of a
    # meter for what we read of it: we bill by the latter alone.
    read = "read|" if letter.sender.protocol is LinkProtocol.METER else ""
    who = read if letter.sender.authenticated else "stranger|"
    digest = hashlib.sha256(f"{who}{kind}|{turn}|{text}".encode()).hexdigest()
    table = letter_table.c
    there = select(table.letter_row).where(table.offtake_id == letter.offtake_id, table.digest == digest)
    if connection.scalar(there) is not None:
        return None
    row = {
        "offtake_id": letter.offtake_id,
        "kind": kind,
        "digest": digest,
        "sender": letter.sender.name,
        "protocol": letter.sender.protocol.value,
        "authenticated": letter.sender.authenticated,
        "received_utc": in_utc(letter.received_utc),
        "payload_json": text,
    }
    return int(connection.execute(insert(letter_table).returning(table.letter_row), row).scalar_one())


def _same_subject(connection: Connection, letter: Letter, kind: str, payload: dict[str, object]) -> Any:
    """The newest letter of a kind about the same thing, of senders like this one; None: none among the last ones."""
    table = letter_table.c
    query = (
        select(table.letter_row, table.payload_json, table.received_utc)
        .where(table.offtake_id == letter.offtake_id, table.kind == kind)
        .where(table.authenticated == letter.sender.authenticated)
        .order_by(table.letter_row.desc())
        .limit(LOOKED_BACK if kind in {"maintenance", "acknowledgement", "request"} else 1)
    )
    wanted = _subject(kind, payload)
    return next((row for row in connection.execute(query) if _subject(kind, json.loads(row.payload_json)) == wanted), None)


def _subject(kind: str, payload: dict[str, object]) -> object:
    """What a letter is about: a second one about the same takes the place of the first."""
    if kind == "maintenance":
        return payload.get("id")
    if kind == "acknowledgement":
        return payload.get("sequence")
    return (payload.get("start"), payload.get("end")) if kind == "request" else None


def _still_said(connection: Connection, letter: Letter, kind: str, before: Any) -> bool:
    """Whether saying the same again adds nothing. An override that our operator ended is a new one."""
    if kind == "override":
        return int(before.letter_row) > cleared_up_to(connection, letter.offtake_id)
    return kind in LASTING or letter.received_utc - aware(before.received_utc) < AGAIN


def letter_of(row: Any) -> KeptLetter | None:
    """The letter of a row; None when it was written by a version that knew other kinds."""
    try:
        body = body_of(row.kind, json.loads(row.payload_json))
        protocol = LinkProtocol(row.protocol)
    except (NotALetter, ValueError):
        return None
    sender = Sender(name=row.sender, protocol=protocol, authenticated=row.authenticated)
    letter = Letter(offtake_id=row.offtake_id, sender=sender, received_utc=aware(row.received_utc), body=body)
    return KeptLetter(row=row.letter_row, letter=letter)


def letters_after(connection: Connection, row: int, most: int = 5000) -> tuple[KeptLetter, ...]:
    """Letters after a row, in order; at most so many, the rest with the next call."""
    query = select(letter_table).where(letter_table.c.letter_row > row).order_by(letter_table.c.letter_row).limit(most)
    return tuple(kept for one in connection.execute(query) if (kept := letter_of(one)) is not None)


def letters_between(
    connection: Connection, offtake_id: str, kind: str, start_utc: datetime, end_utc: datetime
) -> tuple[KeptLetter, ...]:
    """Letters of one kind that were received in [start, end), in order."""
    table = letter_table.c
    query = (
        select(letter_table)
        .where(table.offtake_id == offtake_id, table.kind == kind)
        .where(table.received_utc >= in_utc(start_utc), table.received_utc < in_utc(end_utc))
        .order_by(table.letter_row)
    )
    return tuple(kept for one in connection.execute(query) if (kept := letter_of(one)) is not None)


def standing_letters(connection: Connection, offtake_id: str) -> tuple[KeptLetter, ...]:
    """The letters that say how things stand with one customer, in order: the newest few of each kind, overrides in force."""
    table, after = letter_table.c, cleared_up_to(connection, offtake_id)
    found: list[KeptLetter] = []
    for kind, most in STANDING.items():
        query = select(letter_table).where(table.offtake_id == offtake_id, table.kind == kind)
        if kind == "override":
            query = query.where(table.letter_row > after)
        for authenticated in (True, False):
            ours = query.where(table.authenticated == authenticated)
            newest = connection.execute(ours.order_by(table.letter_row.desc()).limit(most))
            found += [kept for one in newest if (kept := letter_of(one)) is not None]
    return tuple(sorted(found, key=lambda kept: kept.row))


def last_letter_row(connection: Connection) -> int:
    """Row of the newest letter of all; 0 when there is none."""
    return int(connection.scalar(select(func.max(letter_table.c.letter_row))) or 0)


def forget_letters(connection: Connection, before_utc: datetime) -> int:
    """Forget measurements and forecasts that were received before an instant; returns how many."""
    table = letter_table.c
    statement = delete(letter_table).where(table.kind.in_(FORGOTTEN), table.received_utc < in_utc(before_utc))
    return connection.execute(statement).rowcount


# Overrides end by our operator alone.


def cleared_up_to(connection: Connection, offtake_id: str) -> int:
    """Row of the last letter that a clear covers; 0 when nothing was cleared."""
    query = select(func.max(clear_table.c.letter_row)).where(clear_table.c.offtake_id == offtake_id)
    return int(connection.scalar(query) or 0)


def clear_override(connection: Connection, offtake_id: str, who: str, now_utc: datetime, up_to_row: int | None = None) -> bool:
    """End the override that is in force, and none that came after the letter of `up_to_row`; False when there is none."""
    table = letter_table.c
    query = select(func.max(table.letter_row)).where(table.offtake_id == offtake_id, table.kind == "override")
    newest = connection.scalar(query if up_to_row is None else query.where(table.letter_row <= up_to_row))
    if newest is None or newest <= cleared_up_to(connection, offtake_id):
        return False
    row = {"offtake_id": offtake_id, "at_utc": in_utc(now_utc), "who": who, "letter_row": newest}
    connection.execute(insert(clear_table), row)
    return True


def clears_after(connection: Connection, row: int) -> tuple[Cleared, ...]:
    """Clears after a row, in order."""
    query = select(clear_table).where(clear_table.c.clear_row > row).order_by(clear_table.c.clear_row)
    return tuple(
        Cleared(
            row=one.clear_row,
            offtake_id=one.offtake_id,
            letter_row=one.letter_row,
            at_utc=aware(one.at_utc),
            who=one.who,
        )
        for one in connection.execute(query)
    )


def last_clear_row(connection: Connection) -> int:
    """Row of the newest clear of all; 0 when there is none."""
    return int(connection.scalar(select(func.max(clear_table.c.clear_row))) or 0)
