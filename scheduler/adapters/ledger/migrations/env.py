"""Alembic's entry: migrations run on the connection that `migrate.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from scheduler.adapters.ledger.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
