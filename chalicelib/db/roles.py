"""The two database roles of a deployment: `landfall_owner` owns the tables, `landfall_app` works with them.

`landfall_app` may not change the schema. Row-level security holds for it, as it never does for an owner.
"""

from sqlalchemy import Connection, text

# `rds_iam` is a role of RDS: its members, and their members too, log in with signed tokens and no longer with a
# password. So the master user must not become a member of these roles. Other servers don't have `rds_iam`, so nothing
# is granted there.
_STATEMENTS = (
    """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'landfall_owner') THEN CREATE ROLE landfall_owner LOGIN; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'landfall_app') THEN CREATE ROLE landfall_app LOGIN; END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN GRANT rds_iam TO landfall_owner, landfall_app; END IF;
    EXECUTE format('GRANT CONNECT, CREATE, TEMPORARY ON DATABASE %I TO landfall_owner', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO landfall_app', current_database());
END $$
""",
    "GRANT USAGE, CREATE ON SCHEMA public TO landfall_owner",
    "GRANT USAGE ON SCHEMA public TO landfall_app",
)
_SHARE = text("""
DO $$
BEGIN
    IF current_user = 'landfall_owner' THEN
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO landfall_app;
    END IF;
END $$
""")


def ensure_roles(connection: Connection) -> None:
    """Make both roles. Doing it again changes nothing.

    Args:
        connection: of a role that may create roles, as the master user of an RDS database may.
    """
    for statement in _STATEMENTS:
        connection.execute(text(statement))


def share_tables(connection: Connection) -> None:
    """Let `landfall_app` use every table that is created from now on. Does this only when logged in as `landfall_owner`."""
    connection.execute(_SHARE)
