"""Migrations: the only way to the schema. Alembic's configuration is built here; there is no ini file to find."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from chalicelib.db.member_views import empty_schemas, have_schemas, lack_views, make_member_views
from chalicelib.db.outages import sqlstate
from chalicelib.db.partitions import ensure_event_partitions
from chalicelib.db.roles import ensure_member_role, share_tables
from chalicelib.errors import Conflict, SchemaMismatch

# Anyone who migrates this database waits for this lock, so that two deployments don't migrate at once.
_LOCK = 0x1A4DFA11_0000
# A migration that waits for a table makes everybody else wait behind it, so it gives up soon and can be tried again.
_LOCK_TIMEOUT_MS = 10_000
_MUST_WAIT = ("55P03", "40P01")  # a lock is not available, or others wait for this one's in a circle


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """The schema's revision (None: never migrated) beside the one that the code was written for.

    ``ahead`` means that the schema has a revision which this code doesn't know: newer code has migrated it.
    """

    database: str | None
    code: str

    @property
    def state(self) -> Literal["current", "behind", "ahead"]:
        """How the database stands to the code."""
        if self.database == self.code:
            return "current"
        return "behind" if self.database is None or self.database in _known_revisions() else "ahead"


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to ``revision`` (``head``: the newest that this code knows), and make the partitions that are due.

    Each migration is a transaction of its own, so that its locks end with it: an index that takes long doesn't hold up what an
    earlier migration has locked. A migration that fails leaves the schema as those before it made it, and upgrading again goes
    on from there.

    Raises:
        SchemaMismatch: newer code has migrated this database already.
        Conflict: another migration, or a long transaction, held a lock for too long.
    """
    is_there = False
    while not is_there:
        with _migrating(engine) as connection:
            is_there = _upgrade_by_one(connection, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema back to ``revision`` (``base``: nothing), in one transaction. Drops what later revisions added."""
    with _migrating(engine) as connection:
        if have_schemas(connection):
            empty_schemas(connection)  # a view would keep the columns that it shows
        command.downgrade(_config(connection), revision)
        _finish(connection)


def schema_status(connection: Connection) -> SchemaStatus:
    """How the schema stands to this code."""
    return SchemaStatus(current_revision(connection), newest_revision())


def current_revision(connection: Connection) -> str | None:
    """The schema's revision; None if it was never migrated."""
    exists = connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL")).scalar_one()
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if exists else None


@cache
def newest_revision() -> str:
    """The revision that this code was written for."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


def _known_revisions() -> set[str]:
    return {script.revision for script in _scripts().walk_revisions()}


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(None))


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _upgrade_by_one(connection: Connection, revision: str) -> bool:
    """Carry out the next migration on the way to ``revision``; returns whether it is reached.

    If that drops the views of members, those after it belong to the same transaction: views can be made only of the newest
    tables, and until then nobody may see that there are none.
    """
    left = _revisions_left(connection, revision)
    while left:
        command.upgrade(_config(connection), left.pop(0))
        if not lack_views(connection):
            break
    if not left:
        _finish(connection)
    return not left


def _revisions_left(connection: Connection, revision: str) -> list[str]:
    """Which migrations lead from the schema as it is to ``revision``, the next one first. None if it is reached or passed."""
    current = current_revision(connection)
    wanted = [script.revision for script in _scripts().walk_revisions("base", revision)]
    if current is not None:
        wanted = wanted[: wanted.index(current)] if current in wanted else []
    return wanted[::-1]


def _finish(connection: Connection) -> None:
    """Make what is made of the tables as they are: the views of members, and partitions for the events of these months.

    Views can be made of the newest tables only. At an earlier revision members see nothing, and no code of that time runs.
    """
    if have_schemas(connection) and current_revision(connection) == newest_revision():
        make_member_views(connection, current_revision(connection))
    if connection.execute(text("SELECT to_regclass('file_events') IS NOT NULL")).scalar_one():
        ensure_event_partitions(connection, datetime.now(UTC))


@contextmanager
def _migrating(engine: Engine) -> Iterator[Connection]:
    """A transaction that may change the schema, while no other one does."""
    try:
        with engine.begin() as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            status = schema_status(connection)
            if status.state == "ahead":
                raise SchemaMismatch(
                    f"The database has schema {status.database}, which this code does not know: newer code has migrated "
                    f"it. This code was written for {status.code}; deploy the newer code again."
                )
            ensure_member_role(connection)
            share_tables(connection)
            yield connection
    except DBAPIError as error:
        if sqlstate(error.orig) in _MUST_WAIT:
            seconds = _LOCK_TIMEOUT_MS // 1000
            raise Conflict(
                f"Another migration or a long transaction held a lock for {seconds} s. The migration that waited for it has "
                "changed nothing; those before it stay. Try again."
            ) from error
        raise
