"""The database's schema and roles, and what an operator asks about them."""

from chalicelib.db import roles
from chalicelib.db.engine import Engine, transaction
from chalicelib.db.migrate import SchemaStatus, newest_revision, schema_status, upgrade
from chalicelib.errors import SchemaMismatch
from chalicelib.services.accounts.users import ensure_demo_user


def status(engine: Engine) -> SchemaStatus:
    """How the schema stands to this code."""
    with engine.connect() as connection:
        return schema_status(connection)


def has_member_role(engine: Engine) -> bool:
    """Whether members have a database role of their own: see ADR 32."""
    with engine.connect() as connection:
        return roles.has_member_role(connection)


def migrate(engine: Engine, expected: str | None = None, *, with_demo_user: bool = False) -> SchemaStatus:
    """Bring the schema to this code's revision; returns how it stands then.

    Args:
        expected: the revision that the caller means to end at.

    Raises:
        SchemaMismatch: this code's revision is not ``expected`` (an old function was asked, or a new one too early), or
            newer code has migrated the database.
        Conflict: locks were not granted in time.
    """
    if expected not in (None, newest_revision()):
        raise SchemaMismatch(
            f"This code was written for schema {newest_revision()} and was asked for {expected}; nothing was changed."
        )
    upgrade(engine)
    if with_demo_user:
        with transaction(engine) as session:
            ensure_demo_user(session)
    return status(engine)


def make_roles(engine: Engine) -> None:
    """Make the database roles that Landfall's functions log in as; ``engine`` is that of the database's master user."""
    with engine.begin() as connection:
        roles.ensure_roles(connection)
