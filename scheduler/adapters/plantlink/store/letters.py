"""Letters of plants in the database: kept once, in the order in which they were believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select

from scheduler.adapters.ledger.rows import aware, in_utc
from scheduler.adapters.plantlink.store.reading import KeptLetter, cleared_up_to, letter_of
from scheduler.adapters.plantlink.store.schema import clear_table, letter_table
from scheduler.adapters.plantlink.store.standing import KINDS, reckon, refused, those_that_stand
from scheduler.core.publishing.payloads import kind_of, payload_of
from scheduler.domain.plantlink import HeatRequest, Letter, LinkProtocol

# Measurements carry their own instant: the same one twice is a repeat, however much came between.
DATED = frozenset({"network", "tank", "meter"})
# What was said and is said again within this time is not written down again; later it is, since it is then known to hold still.
AGAIN = timedelta(seconds=600)
# Of these the newest one says how things stand, with a credential and without; the others have rules of their own.
MEASURED = ("demand", "network", "tank")
# Only these may be forgotten; the database refuses the others.
FORGOTTEN = ("network", "tank", "demand")
# A second letter about the same thing is looked for among so many, and among all that stand.
LOOKED_BACK = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """Our operator ended the manual override of an offtake, as far as it was known then: up to the letter of `letter_row`."""

    row: int
    offtake_id: str
    letter_row: int
    at_utc: datetime
    who: str


# What stands, by customer and kind.
Stand = dict[tuple[str, str], tuple[KeptLetter, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a letter: its row, None for a repeat, which changes nothing; or why it was refused."""

    row: int | None = None
    refused: str = ""


def keep_letters(connection: Connection, letters: Sequence[Letter]) -> list[Taken]:
    """Write letters down in their order. Nobody else may write meanwhile, so what stands is read once for all of them."""
    stand: Stand = {}
    return [_keep(connection, letter, stand) for letter in letters]


def _keep(connection: Connection, letter: Letter, known: Stand) -> Taken:
    kind, payload = kind_of(letter.body), payload_of(letter.body)
    text = json.dumps(payload, separators=(",", ":"), sort_keys=True, allow_nan=False)
    if kind in DATED:
        return Taken(row=_written(connection, letter, kind, text, 0))
    about = (letter.offtake_id, kind)
    if about not in known:
        known[about] = those_that_stand(connection, *about) if kind in KINDS else ()
    stand = known[about]
    before = _same_subject(connection, letter, kind, payload, stand)
    if before is not None and before.text == text and _still_said(letter, kind, before, stand):
        return Taken()
    why = refused(stand, letter) if kind in KINDS else ""
    if why:
        return Taken(refused=why)
    row = _written(connection, letter, kind, text, _last_row(connection, letter.offtake_id, kind))
    if row is not None and kind in KINDS:
        known[about] = reckon(connection, stand, KeptLetter(row=row, letter=letter), kind)
    return Taken(row=row)


def _written(connection: Connection, letter: Letter, kind: str, text: str, turn: int) -> int | None:
    """The row of a letter, None where it is there already. turn: what came before it, where the same may be said anew."""
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


def _last_row(connection: Connection, offtake_id: str, kind: str) -> int:
    """Row of the newest letter of a kind; 0 when there is none."""
    table = letter_table.c
    query = select(func.max(table.letter_row)).where(table.offtake_id == offtake_id, table.kind == kind)
    return int(connection.scalar(query) or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """An earlier letter about the same thing."""

    row: int
    text: str
    received_utc: datetime


def _same_subject(
    connection: Connection, letter: Letter, kind: str, payload: dict[str, object], stand: Sequence[KeptLetter]
) -> _Before | None:
    """The newest letter of a kind about the same thing, of senders like this one; None: none that stands or came lately."""
    table, known = letter_table.c, letter.sender.authenticated
    query = (
        select(table.letter_row, table.payload_json, table.received_utc)
        .where(table.offtake_id == letter.offtake_id, table.kind == kind)
        .where(table.authenticated == known)
        .order_by(table.letter_row.desc())
        .limit(LOOKED_BACK if kind in {"maintenance", "acknowledgement", "request"} else 1)
    )
    wanted = _subject(kind, payload)
    for row in connection.execute(query):
        if _subject(kind, json.loads(row.payload_json)) == wanted:
            return _Before(row=row.letter_row, text=row.payload_json, received_utc=aware(row.received_utc))
    for kept in reversed(stand):
        told = payload_of(kept.letter.body)
        if kept.letter.sender.authenticated == known and _subject(kind, told) == wanted:
            text = json.dumps(told, separators=(",", ":"), sort_keys=True, allow_nan=False)
            return _Before(row=kept.row, text=text, received_utc=kept.letter.received_utc)
    return None


def _subject(kind: str, payload: dict[str, object]) -> object:
    """What a letter is about: a second one about the same takes the place of the first."""
    if kind == "maintenance":
        return payload.get("id")
    if kind == "acknowledgement":
        return payload.get("sequence")
    return (payload.get("start"), payload.get("end")) if kind == "request" else None


def _still_said(letter: Letter, kind: str, before: _Before, stand: Sequence[KeptLetter]) -> bool:
    """Whether saying the same again adds nothing. An override that our operator ended is a new one, and so is a request of
    which a later one has taken the place, as a whole or in part.
    """
    if kind == "override":
        return any(one.row == before.row for one in stand)
    if kind == "request" and _spoken_over(letter, before, stand):
        return False
    return kind in {"acknowledgement", "maintenance"} or letter.received_utc - before.received_utc < AGAIN


def _spoken_over(letter: Letter, before: _Before, stand: Sequence[KeptLetter]) -> bool:
    """Whether somebody with a credential has asked for something else since, for any of the same time."""
    body, known = letter.body, letter.sender.authenticated
    return known and any(
        one.row > before.row
        and one.letter.sender.authenticated
        and isinstance(body, HeatRequest)
        and isinstance(one.letter.body, HeatRequest)
        and one.letter.body.start_utc < body.end_utc
        and body.start_utc < one.letter.body.end_utc
        for one in stand
    )


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
    """The letters that say how things stand with one customer, in order."""
    table = letter_table.c
    found = list(those_that_stand(connection, offtake_id))
    for kind in MEASURED:
        for authenticated in (True, False):
            query = select(letter_table).where(table.offtake_id == offtake_id, table.kind == kind)
            newest = query.where(table.authenticated == authenticated).order_by(table.letter_row.desc()).limit(1)
            found += [kept for one in connection.execute(newest) if (kept := letter_of(one)) is not None]
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
