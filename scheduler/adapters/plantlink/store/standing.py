"""Which letters stand, beside the letters themselves: reckoned anew in the transaction that keeps one more.

`link_standing` names them as far as `link_reckoned` says, by customer and kind; what was written after that, by a link of an
older version, stands until somebody has reckoned with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, delete, insert, or_, select, update

from scheduler.adapters.plantlink.store.reading import KeptLetter, cleared_up_to, letter_of
from scheduler.adapters.plantlink.store.schema import letter_table, reckoned_table, standing_table
from scheduler.core.publishing.standing import crowded, standing
from scheduler.domain.plantlink import Letter

# Kinds that stay true until their time is over, or something else is said.
KINDS = ("request", "maintenance", "acknowledgement", "override")


def those_that_stand(connection: Connection, offtake_id: str, *only: str) -> tuple[KeptLetter, ...]:
    """Letters of a customer that stand, in order; of overrides only those that our operator has not ended."""
    table, marks, kinds = letter_table.c, _reckoned(connection, offtake_id), only or KINDS
    known = select(letter_table).join(standing_table, standing_table.c.letter_row == table.letter_row)
    known = known.where(standing_table.c.offtake_id == offtake_id, standing_table.c.kind.in_(kinds))
    after = or_(*(and_(table.kind == kind, table.letter_row > marks.get(kind, 0)) for kind in kinds))
    since = select(letter_table).where(table.offtake_id == offtake_id, after)
    rows = {one.letter_row: one for query in (known, since) for one in connection.execute(query)}
    ended = cleared_up_to(connection, offtake_id) if "override" in kinds else 0
    kept = (letter_of(rows[row]) for row in sorted(rows) if rows[row].kind != "override" or row > ended)
    return tuple(one for one in kept if one is not None)


def refused(stand: Sequence[KeptLetter], letter: Letter) -> str:
    """Why one more letter is not kept; empty when it may be."""
    letters = [*(one.letter for one in stand), letter]
    holds = standing(letters, letter.received_utc)
    if not holds[-1]:
        return ""
    return crowded([one for one, holds_on in zip(letters, holds, strict=True) if holds_on], letter)


def reckon(connection: Connection, stand: Sequence[KeptLetter], kept: KeptLetter, kind: str) -> tuple[KeptLetter, ...]:
    """Take one more letter up, which was written just now; those that stand with it.

    Args:
        connection: of a transaction beside which nobody else writes.
        stand: those that stood before it.
        kept: the letter.
        kind: of all of them.
    """
    letters = [*stand, kept]
    holds = standing([one.letter for one in letters], kept.letter.received_utc)
    name, table = kept.letter.offtake_id, standing_table.c
    there = set(connection.scalars(select(table.letter_row).where(table.offtake_id == name, table.kind == kind)))
    left = tuple(one for one, holds_on in zip(letters, holds, strict=True) if holds_on)
    rows = {one.row for one in left}
    if there - rows:
        connection.execute(delete(standing_table).where(table.letter_row.in_(sorted(there - rows))))
    if rows - there:
        new = [{"letter_row": row, "offtake_id": name, "kind": kind} for row in sorted(rows - there)]
        connection.execute(insert(standing_table), new)
    mark = {"offtake_id": name, "kind": kind, "letter_row": kept.row}
    where = (reckoned_table.c.offtake_id == name, reckoned_table.c.kind == kind)
    if not connection.execute(update(reckoned_table).where(*where).values(**mark)).rowcount:
        connection.execute(insert(reckoned_table), mark)
    return left


def _reckoned(connection: Connection, offtake_id: str) -> dict[str, int]:
    """Up to which letter was reckoned, by kind."""
    found = connection.execute(select(reckoned_table).where(reckoned_table.c.offtake_id == offtake_id))
    return {one.kind: int(one.letter_row) for one in found}
