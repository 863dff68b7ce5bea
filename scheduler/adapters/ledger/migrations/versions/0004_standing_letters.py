"""Which letters of plants still say anything, so that none is lost for how many came after it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
# As 0003 knew them: letters of these stood by their number, now by their time.
KINDS = ("request", "maintenance", "acknowledgement", "override")
# No answer holds longer; older ones say what was answered, of which the newest few are enough.
ANSWERS_HOLD, NEWEST_ANSWERS = timedelta(hours=6), 8


def upgrade() -> None:
    """Create both tables and take up what stands: every request and notice whose end is to come, answers, overrides."""
    standing = op.create_table(
        "link_standing",
        sa.Column("letter_row", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("offtake_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
    )
    op.create_index("link_standing_by_kind", "link_standing", ["offtake_id", "kind"])
    reckoned = op.create_table(
        "link_reckoned",
        sa.Column("offtake_id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("letter_row", sa.BigInteger, nullable=False),
    )
    letters = sa.table(
        "link_letter",
        *(sa.column(name) for name in ("letter_row", "offtake_id", "kind", "authenticated", "payload_json")),
        sa.column("received_utc", sa.DateTime(timezone=True)),
    )
    found = op.get_bind().execute(sa.select(letters).where(letters.c.kind.in_(KINDS)).order_by(letters.c.letter_row.desc()))
    stand, newest, answers = list[dict[str, Any]](), dict[tuple[str, str], int](), dict[tuple[str, bool], int]()
    # As of the newest letter: what is over since is seen when the next one comes.
    now_utc = _aware(op.get_bind().scalar(sa.select(sa.func.max(letters.c.received_utc))) or datetime(1970, 1, 1, tzinfo=UTC))
    for row in found:
        newest.setdefault((row.offtake_id, row.kind), row.letter_row)
        if row.kind == "acknowledgement":
            sort = (row.offtake_id, bool(row.authenticated))
            answers[sort] = answers.get(sort, 0) + 1
            if answers[sort] > NEWEST_ANSWERS and _aware(row.received_utc) + ANSWERS_HOLD <= now_utc:
                continue
        elif row.kind != "override" and _over(json.loads(row.payload_json), now_utc):
            continue
        stand.append({"letter_row": row.letter_row, "offtake_id": row.offtake_id, "kind": row.kind})
    if stand:
        op.bulk_insert(standing, stand)
    if newest:
        rows = [{"offtake_id": name, "kind": kind, "letter_row": row} for (name, kind), row in newest.items()]
        op.bulk_insert(reckoned, rows)


def _over(payload: Mapping[str, Any], now_utc: datetime) -> bool:
    """Whether the time of a letter is over; one that cannot be read stands, and says nothing."""
    try:
        return _aware(datetime.fromisoformat(str(payload["end"]).replace("Z", "+00:00"))) <= now_utc
    except (KeyError, ValueError):
        return False


def _aware(instant: datetime) -> datetime:
    """SQLite gives instants back without their zone."""
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
