"""Migrations: the only way to the schema. Alembic's configuration is built here; there is no ini file to find."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from chalicelib.db.engine import create_catalog_engine
from chalicelib.db.partitions import ensure_event_partitions

# Anyone who migrates this database waits for this lock, so that two deployments don't migrate at once.
_LOCK = 0x1A4DFA11_0000


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the schema to ``revision`` (``head``: the newest that this code knows), and this year's partitions."""
    _run(database_url, lambda config: command.upgrade(config, revision))


def downgrade(database_url: str, revision: str) -> None:
    """Take the schema back to ``revision`` (``base``: nothing). Drops what later revisions added."""
    _run(database_url, lambda config: command.downgrade(config, revision))


def current_revision(connection: Connection) -> str | None:
    """The schema's revision; None if it was never migrated."""
    exists = connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL")).scalar_one()
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if exists else None


def newest_revision() -> str:
    """The revision that this code was written for."""
    head = ScriptDirectory.from_config(_config(None)).get_current_head()
    assert head is not None
    return head


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _run(database_url: str, action: Callable[[Config], None]) -> None:
    engine = create_catalog_engine(database_url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            action(_config(connection))
            if connection.execute(text("SELECT to_regclass('file_events') IS NOT NULL")).scalar_one():
                ensure_event_partitions(connection, datetime.now(UTC))
    finally:
        engine.dispose()
