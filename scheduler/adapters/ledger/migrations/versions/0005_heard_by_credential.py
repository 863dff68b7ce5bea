"""Whether a plant's heartbeat came with a credential: after it none without one counts, also where the link starts anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; an older link that goes on beside a newer one may leave it out."""
    column = sa.Column("counter_authenticated", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("link_heard", column)
