"""The database roles of a deployment: `landfall_owner` owns the tables, `landfall_app` works with them.

`landfall_app` may not change the schema. For a member it takes the role `landfall_members`, which may use the views of
`chalicelib.db.member_views` and no table. Nobody logs in as that one.
"""

from sqlalchemy import Connection, text

# A role that may be taken without its rights being inherited: PostgreSQL 16 and newer. Databases of one server share it, and
# two may be migrated at once.
_MAKE_MEMBERS = """
DO $$
BEGIN
    IF current_setting('server_version_num')::int < 160000 THEN RETURN; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'landfall_members') THEN
        CREATE ROLE landfall_members NOLOGIN;
    END IF;
    EXECUTE 'GRANT landfall_members TO {who} WITH SET TRUE, INHERIT FALSE';
-- Another one may be making it or granting it ("tuple concurrently updated"), or may have made it, who alone may grant it.
EXCEPTION WHEN duplicate_object OR unique_violation OR internal_error OR insufficient_privilege THEN NULL;
END $$
"""
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
    _MAKE_MEMBERS.format(who="landfall_app"),
    "GRANT USAGE, CREATE ON SCHEMA public TO landfall_owner",
    "GRANT USAGE ON SCHEMA public TO landfall_app",
)
# A role that is there already may be another's, who alone may grant it.
_MAY_MAKE_ROLES = text("""
SELECT (rolsuper OR rolcreaterole) AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'landfall_members')
FROM pg_roles WHERE rolname = current_user
""")
_HAS_MEMBER_ROLE = text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'landfall_members')")
_SHARE = text("""
DO $$
BEGIN
    IF current_user = 'landfall_owner' THEN
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO landfall_app;
    END IF;
END $$
""")


def ensure_roles(connection: Connection) -> None:
    """Make the roles. Doing it again changes nothing.

    Args:
        connection: of a role that may create roles, as the master user of an RDS database may.
    """
    for statement in _STATEMENTS:
        connection.execute(text(statement))


def ensure_member_role(connection: Connection) -> None:
    """Make the role `landfall_members`, if whoever is logged in may; else members do without: see ADR 32."""
    if connection.execute(_MAY_MAKE_ROLES).scalar_one():
        connection.execute(text(_MAKE_MEMBERS.format(who="CURRENT_USER")))


def has_member_role(connection: Connection) -> bool:
    """Whether the role `landfall_members` is there."""
    return bool(connection.execute(_HAS_MEMBER_ROLE).scalar_one())


def share_tables(connection: Connection) -> None:
    """Let `landfall_app` use every table that is created from now on. Does this only when logged in as `landfall_owner`."""
    connection.execute(_SHARE)
