"""Bring a ledger's schema up to date with the migrations that come with the package."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

# Any number will do as long as no other application on the same database takes it: the letters "heat".
LOCK_KEY = 0x68656174
SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Run the missing migrations in one transaction; a second caller waits and finds nothing to do."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # SQLite's writers queue by themselves
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
