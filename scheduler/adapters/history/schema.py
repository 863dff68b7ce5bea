"""Tables of the history: one row per series and known quarter hour, one per ended job, one per memo."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Float, Index, Integer, MetaData, Table, Text

metadata = MetaData()

slot_table = Table(
    "history_slot",
    metadata,
    Column("series_key", Text, primary_key=True),
    Column("start_s", BigInteger, primary_key=True, autoincrement=False),
    Column("amount", Float(53), nullable=False),
    Column("issued_s", Float(53)),
    sqlite_with_rowid=False,
)

ended_table = Table(
    "history_ended",
    metadata,
    Column("job_uid", Text, primary_key=True),
    Column("ended_utc", DateTime(timezone=True), nullable=False),
    Column("workload", Text, nullable=False),
    Column("class_name", Text, nullable=False),
    Column("declared_duration_s", Float(53), nullable=False),
    Column("real_duration_s", Float(53), nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("natural_power_w_per_gpu", Float(53)),
    Index("history_ended_by_time", "ended_utc"),
)

memo_table = Table(
    "history_memo",
    metadata,
    Column("name", Text, primary_key=True),
    Column("content", Text, nullable=False),
)
