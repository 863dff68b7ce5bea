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
        sa.Column("entry_id", sa.String(120), primary_key=True),
        sa.Column("plug_id", sa.String(253), nullable=False),
        sa.Column("start_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_s", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("plan_id", sa.String(120), nullable=False),
        sa.Column("quality", sa.String(20), nullable=False),
        *(sa.Column(name, sa.Float) for name in NUMBERS),
        sa.Column("eur_json", sa.Text, nullable=False),
        sa.UniqueConstraint("plug_id", "start_utc", "revision", name="one_entry_per_slot_and_revision"),
    )
    op.create_index("ledger_entry_by_time", "ledger_entry", ["plug_id", "start_utc"])
    op.create_table(
        "ledger_cycle",
        sa.Column("cycle_id", sa.String(120), primary_key=True),
        sa.Column("at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("plan_id", sa.String(120), nullable=False),
        sa.Column("input_digest", sa.String(80), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("objective_eur", "bound_eur", "rolling_gap", "solve_s")),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("started", "held", "stopped", "capped")),
        sa.Column("degraded_reason", sa.Text, nullable=False),
    )
    op.create_index("ledger_cycle_by_time", "ledger_cycle", ["at_utc"])
    refuse_change()


def refuse_change() -> None:
    """UPDATE and DELETE raise, whoever asks."""
    postgres = op.get_bind().dialect.name == "postgresql"
    if postgres:
        op.execute(
            "CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
        )
    for table in TABLES:
        for verb in ("UPDATE", "DELETE"):
            name = f"{table}_no_{verb.lower()}"
            if postgres:
                op.execute(
                    f"CREATE TRIGGER {name} BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only()"
                )
            else:
                op.execute(
                    f"CREATE TRIGGER {name} BEFORE {verb} ON {table} "
                    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
                )
