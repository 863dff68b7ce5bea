"""The measured past that forecasts are made of: quarter hours, ended jobs, and what must outlive a restart beside them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; unlike the ledger they forget, so nothing refuses a change."""
    op.create_table(
        "history_slot",
        sa.Column("series_key", sa.Text, primary_key=True),
        sa.Column("start_s", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("amount", sa.Float(53), nullable=False),
        sa.Column("issued_s", sa.Float(53)),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "history_ended",
        sa.Column("job_uid", sa.Text, primary_key=True),
        sa.Column("ended_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("class_name", sa.Text, nullable=False),
        sa.Column("declared_duration_s", sa.Float(53), nullable=False),
        sa.Column("real_duration_s", sa.Float(53), nullable=False),
        sa.Column("gpus", sa.Integer, nullable=False),
        sa.Column("natural_power_w_per_gpu", sa.Float(53)),
    )
    op.create_index("history_ended_by_time", "history_ended", ["ended_utc"])
    op.create_table(
        "history_memo",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
    )
