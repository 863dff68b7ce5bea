"""Tables of the ledger: append-only, one row per plug, slot and revision; one row per cycle."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Float, Index, Integer, MetaData, Table, Text, UniqueConstraint

metadata = MetaData()

entry_table = Table(
    "ledger_entry",
    metadata,
    Column("entry_id", Text, primary_key=True),
    Column("plug_id", Text, nullable=False),
    Column("start_utc", DateTime(timezone=True), nullable=False),
    Column("duration_s", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("plan_id", Text, nullable=False),
    Column("quality", Text, nullable=False),
    Column("it_energy_kwh", Float),
    Column("facility_energy_kwh", Float),
    Column("heat_captured_kwh", Float),
    Column("heat_recovered_kwh", Float),
    Column("heat_sold_kwh", Float),
    Column("heat_rejected_kwh", Float),
    Column("heat_planned_kwh", Float),
    Column("heat_firm_kwh", Float),
    Column("tank_level_kwh", Float),
    Column("emissions_g", Float),
    Column("eur_json", Text, nullable=False),
    UniqueConstraint("plug_id", "start_utc", "revision", name="one_entry_per_slot_and_revision"),
    Index("ledger_entry_by_time", "plug_id", "start_utc"),
)

cycle_table = Table(
    "ledger_cycle",
    metadata,
    Column("cycle_id", Text, primary_key=True),
    Column("at_utc", DateTime(timezone=True), nullable=False),
    Column("plan_id", Text, nullable=False),
    Column("input_digest", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("objective_eur", Float, nullable=False),
    Column("bound_eur", Float, nullable=False),
    Column("rolling_gap", Float, nullable=False),
    Column("solve_s", Float, nullable=False),
    Column("started", Integer, nullable=False),
    Column("held", Integer, nullable=False),
    Column("stopped", Integer, nullable=False),
    Column("capped", Integer, nullable=False),
    Column("degraded_reason", Text, nullable=False),
    Index("ledger_cycle_by_time", "at_utc"),
)
