"""What is said between us and heat plants: schedules and promises, letters, signs of life."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Rows of these stay as they are; letters of measurements may be forgotten when they are old.
KEPT = ("link_message", "link_commitment", "link_override_clear", "link_letter")
FORGOTTEN = "('network', 'tank', 'demand')"
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create tables, indices and the triggers that refuse change."""
    create_ours()
    create_theirs()
    refuse_change()


def create_ours() -> None:
    """What we say: messages, promises, the operator's life, the heartbeat's counter."""
    op.create_table(
        "link_message",
        sa.Column("message_row", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("offtake_id", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("kept_utc", INSTANT, nullable=False),
        sa.Column("valid_until_utc", INSTANT, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("offtake_id", "sequence", name="one_message_per_sequence"),
    )
    op.create_table(
        "link_commitment",
        sa.Column("commitment_row", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("offtake_id", sa.Text, nullable=False),
        sa.Column("start_utc", INSTANT, nullable=False),
        sa.Column("end_utc", INSTANT, nullable=False),
        sa.Column("gate_utc", INSTANT, nullable=False),
        sa.Column("firm_kw", sa.Float(53), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("kept_utc", INSTANT, nullable=False),
        sa.Column("detail_json", sa.Text, nullable=False),
        sa.UniqueConstraint("offtake_id", "start_utc", "end_utc", "gate_utc", name="one_promise_per_gate_and_time"),
    )
    op.create_index("link_commitment_by_time", "link_commitment", ["offtake_id", "end_utc"])
    op.create_table(
        "link_life",
        sa.Column("site_id", sa.Text, primary_key=True),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("at_utc", INSTANT, nullable=False),
        sa.Column("content_json", sa.Text, nullable=False),
    )
    op.create_table(
        "link_beat",
        sa.Column("offtake_id", sa.Text, primary_key=True),
        sa.Column("reserved", sa.BigInteger, nullable=False),
    )


def create_theirs() -> None:
    """What plants say, and what was turned away."""
    op.create_table(
        "link_letter",
        sa.Column("letter_row", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("offtake_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("protocol", sa.Text, nullable=False),
        sa.Column("authenticated", sa.Boolean, nullable=False),
        sa.Column("received_utc", INSTANT, nullable=False),
        sa.Column("payload_json", sa.Text, nullable=False),
        sa.UniqueConstraint("offtake_id", "digest", name="one_letter_per_content"),
    )
    op.create_index("link_letter_by_kind", "link_letter", ["offtake_id", "kind", "letter_row"])
    op.create_table(
        "link_override_clear",
        sa.Column("clear_row", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("offtake_id", sa.Text, nullable=False),
        sa.Column("at_utc", INSTANT, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("letter_row", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "link_heard",
        sa.Column("offtake_id", sa.Text, primary_key=True),
        sa.Column("heard_utc", INSTANT, nullable=False),
        sa.Column("counter", sa.BigInteger),
        sa.Column("moved_utc", INSTANT),
    )
    op.create_table(
        "link_audit",
        sa.Column("audit_row", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at_utc", INSTANT, nullable=False),
        sa.Column("protocol", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
    )


def refuse_change() -> None:
    """What was said stays said, whoever asks."""
    if op.get_bind().dialect.name == "postgresql":
        refuse_in_postgresql()
    else:
        refuse_in_sqlite()


def refuse_in_postgresql() -> None:
    """UPDATE, DELETE and TRUNCATE raise, with the ledger's function; measurements may be deleted."""
    for table in KEPT:
        for verb in ("UPDATE", "DELETE", "TRUNCATE"):
            each = "STATEMENT" if verb == "TRUNCATE" else "ROW"
            when = f"WHEN (OLD.kind NOT IN {FORGOTTEN}) " if (table, verb) == ("link_letter", "DELETE") else ""
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"FOR EACH {each} {when}EXECUTE FUNCTION ledger_is_append_only()"
            )


def refuse_in_sqlite() -> None:
    """UPDATE and DELETE raise; so does INSERT OR REPLACE, since connections of ours fire triggers of what it deletes."""
    for table in KEPT:
        for verb in ("UPDATE", "DELETE"):
            when = f"WHEN OLD.kind NOT IN {FORGOTTEN} " if (table, verb) == ("link_letter", "DELETE") else ""
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"{when}BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            )
