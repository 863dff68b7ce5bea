"""The first ledger: entries and cycles, append-only by trigger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = ("ledger_entry", "ledger_cycle")
NUMBERS = (
    "it_energy_kwh",
    "facility_energy_kwh",
    "heat_captured_kwh",
    "heat_recovered_kwh",
    "heat_sold_kwh",
    "heat_rejected_kwh",
    "heat_planned_kwh",
    "heat_firm_kwh",
    "tank_level_kwh",
    "emissions_g",
)


def upgrade() -> None:
    """Create tables, indices and the triggers that refuse change."""
    op.create_table(
        "ledger_entry",
        sa.Column("entry_id", sa.Text, primary_key=True),
        sa.Column("plug_id", sa.Text, nullable=False),
        sa.Column("start_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_s", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("quality", sa.Text, nullable=False),
        *(sa.Column(name, sa.Float) for name in NUMBERS),
        sa.Column("eur_json", sa.Text, nullable=False),
        sa.UniqueConstraint("plug_id", "start_utc", "revision", name="one_entry_per_slot_and_revision"),
    )
    op.create_index("ledger_entry_by_time", "ledger_entry", ["plug_id", "start_utc"])
    op.create_table(
        "ledger_cycle",
        sa.Column("cycle_id", sa.Text, primary_key=True),
        sa.Column("at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("input_digest", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("objective_eur", "bound_eur", "rolling_gap", "solve_s")),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("started", "held", "stopped", "capped")),
        sa.Column("degraded_reason", sa.Text, nullable=False),
    )
    op.create_index("ledger_cycle_by_time", "ledger_cycle", ["at_utc"])
    refuse_change()


def refuse_change() -> None:
    """What stands in the ledger stays, whoever asks."""
    if op.get_bind().dialect.name == "postgresql":
        refuse_in_postgresql()
    else:
        refuse_in_sqlite()


def refuse_in_postgresql() -> None:
    """UPDATE, DELETE and TRUNCATE raise."""
    op.execute(
        "CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
    )
    for table in TABLES:
        for verb in ("UPDATE", "DELETE", "TRUNCATE"):
            each = "STATEMENT" if verb == "TRUNCATE" else "ROW"
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"FOR EACH {each} EXECUTE FUNCTION ledger_is_append_only()"
            )


def refuse_in_sqlite() -> None:
    """UPDATE and DELETE raise; INSERT OR REPLACE, which would delete unseen by them, adds nothing or raises."""
    for table in TABLES:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            )
    same_slot = "plug_id = NEW.plug_id AND start_utc = NEW.start_utc AND revision = NEW.revision"
    before_insert("ledger_cycle", "repeat", "cycle_id = NEW.cycle_id", "RAISE(IGNORE)")
    before_insert("ledger_entry", "repeat", "entry_id = NEW.entry_id", "RAISE(IGNORE)")
    before_insert(
        "ledger_entry",
        "replace",
        f"entry_id <> NEW.entry_id AND {same_slot}",
        "RAISE(ABORT, 'this revision of the slot is there under another id')",
    )


def before_insert(table: str, name: str, there: str, then: str) -> None:
    """An SQLite trigger on rows that meet others."""
    op.execute(
        f"CREATE TRIGGER {table}_no_{name} BEFORE INSERT ON {table} "
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {there}) BEGIN SELECT {then}; END"
    )
