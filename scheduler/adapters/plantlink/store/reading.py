"""Letters as they are read back, and how far overrides were ended."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from scheduler.adapters.ledger.rows import aware
from scheduler.adapters.plantlink.store.schema import clear_table
from scheduler.core.publishing.letters import NotALetter, body_of
from scheduler.domain.plantlink import Letter, LinkProtocol, Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLetter:
    """A letter and its row, which orders all letters."""

    row: int
    letter: Letter


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


def cleared_up_to(connection: Connection, offtake_id: str) -> int:
    """Row of the last letter that a clear covers; 0 when nothing was cleared."""
    query = select(func.max(clear_table.c.letter_row)).where(clear_table.c.offtake_id == offtake_id)
    return int(connection.scalar(query) or 0)
