"""The two database roles of a deployment of its own: `landfall_owner` owns the tables, `landfall_app` works with them.

The one that works may not change the schema, and row-level security holds for it, as it never does for an owner.
"""

from sqlalchemy import Connection, text

# `rds_iam` is RDS's: its members log in with signed tokens. Elsewhere there is none, and nothing to grant.
# Who is no superuser must be a member of a role to set that one's default privileges.
_STATEMENTS = (
    """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'landfall_owner') THEN CREATE ROLE landfall_owner LOGIN; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'landfall_app') THEN CREATE ROLE landfall_app LOGIN; END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN GRANT rds_iam TO landfall_owner, landfall_app; END IF;
    EXECUTE format('GRANT CONNECT, CREATE, TEMPORARY ON DATABASE %I TO landfall_owner', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO landfall_app', current_database());
    GRANT landfall_owner TO CURRENT_USER;
END $$
""",
    "GRANT USAGE, CREATE ON SCHEMA public TO landfall_owner",
    "GRANT USAGE ON SCHEMA public TO landfall_app",
    """ALTER DEFAULT PRIVILEGES FOR ROLE landfall_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO landfall_app""",
)


def ensure_roles(connection: Connection) -> None:
    """Make both roles, with what they may do now and with tables to come. Doing it again changes nothing.

    Args:
        connection: of a role that may create roles, as the master user of an RDS database may.
    """
    for statement in _STATEMENTS:
        connection.execute(text(statement))
