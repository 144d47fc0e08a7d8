"""What statements see that act for an owner: views of the tables, under the tables' own names.

There are two schemas of them. In `landfall_member` a view shows what belongs to one user. In `landfall_part` it shows what of
that begins with a prefix or is in a session. A transaction that acts for an owner finds these schemas first and has a role
that may not read the tables themselves, so that its statements need not be other ones, and may even forget their scope:
see `chalicelib.db.engine.act_for`. Ingestion, the clock and operators act on the tables.

The views have no security barrier, which would keep the planner from using the GIN indexes. So they are a wall against our
own mistakes, not against somebody who can send statements of their own.

Each migration makes the views anew (`chalicelib.db.migrate`), so that they have all columns of the tables. A table that isn't
named here has no view; `tests/db/test_member_tables.py` fails then.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

from sqlalchemy import Connection, text

from chalicelib.db.scope import MEMBER_SCHEMA, PART_SCHEMA

# A setting that isn't there is a user whom nobody is. Asked for in a subquery, each is read once for a statement, not for a row.
_ME = "(SELECT CAST(nullif(current_setting('landfall.user_id', true), '') AS uuid))"
_PREFIX = "(SELECT coalesce(current_setting('landfall.prefix', true), ''))"
_SESSION = "(SELECT coalesce(current_setting('landfall.session_id', true), ''))"


@dataclass(frozen=True, slots=True)
class _View:
    """A view of a table.

    Attributes:
        rows: which rows belong to a user. ``{files}`` is what the view of files in the same schema shows, ``{sessions}`` the view
            of sessions.
        part: which of them belong to a part, besides.
        columns: of the view.
        writes: what may be done with its rows.
    """

    rows: str
    part: str = "true"
    columns: str = "t.*"
    writes: str = ""


_OWN = f"t.owner_id = {_ME}"
# In the view of files it is a filter, and no way to the rows: the planner takes an owner whom it doesn't know for an average one,
# and would read all of a large owner's files for a few ids. It takes a CASE for true half the time, so that what it knows of an
# owner whom a statement names still counts. Who walks somebody's files says whose.
_OWN_FILE = f"CASE WHEN {_OWN} THEN true END"
# No IN: where a row is written, Postgres would read all that the subquery has in order to look for the one.
_OF_FILE = "EXISTS (SELECT FROM {files} AS f WHERE f.id = t.file_id)"
_OF_SESSION = "EXISTS (SELECT FROM {sessions} AS s WHERE s.id = t.session_row_id)"
_NOBODYS = "false"
_OF_PART = f"coalesce(t.prefix, '') = {_PREFIX} AND coalesce(t.session_id, '') = {_SESSION}"
_COUNTED = f"{_PREFIX} = '' AND t.session_id = {_SESSION}"
# At a key that no file has left, everything belongs to the file there. Elsewhere it is looked up: see migrations 0029 and 0032.
_AT_FILE = """(CASE WHEN EXISTS (SELECT FROM file_places AS p WHERE p.key = t.key AND p.bucket = t.bucket)
    THEN EXISTS (SELECT FROM {{files}} AS f WHERE f.id = {whose})
    ELSE EXISTS (SELECT FROM {{files}} AS f WHERE f.key = t.key AND f.bucket = t.bucket) END)"""
# Views that others are made of come before them.
_VIEWS = {
    "files": _View(
        _OWN_FILE,
        f"t.key ^@ {_PREFIX} AND ({_SESSION} = '' OR t.session_id = {_SESSION})",
        writes="INSERT, UPDATE, DELETE",
    ),
    "file_places": _View(_OF_FILE),
    "file_search": _View(_OF_FILE),
    "object_versions": _View(_AT_FILE.format(whose="file_of_version(t.bucket, t.key, t.version_id)")),
    "file_events": _View(_AT_FILE.format(whose="file_of_event(t.bucket, t.key, t.version_id, t.event_time)")),
    "uploads": _View(_OWN, _OF_FILE, writes="INSERT, UPDATE, DELETE"),
    "shares": _View(_OF_FILE, writes="INSERT, UPDATE, DELETE"),
    "sessions": _View(_OWN, f"t.session_id = {_SESSION}", writes="INSERT, UPDATE, DELETE"),
    # What a part has asked for, and no more.
    "jobs": _View(_OWN, _OF_PART, writes="INSERT, UPDATE, DELETE"),
    "api_keys": _View(_OWN, _OF_PART, writes="INSERT, UPDATE, DELETE"),
    # With whom one's sessions are shared, and what is shared with oneself.
    "session_members": _View(
        f"({_OF_SESSION} OR t.user_id = {_ME})",
        _OF_SESSION,
        writes="INSERT, UPDATE, DELETE",
    ),
    "acts": _View(_OWN, _OF_FILE),
    "trail": _View(_OF_FILE),
    "rates": _View(f"t.user_id = {_ME}", _NOBODYS),
    "waits": _View(f"t.user_id = {_ME}", _NOBODYS),
    "users": _View(f"t.id = {_ME}", writes="UPDATE"),
    "identities": _View(f"t.user_id = {_ME}"),
    "usage": _View(_OWN, _COUNTED),
    "usage_changes": _View(_OWN, _COUNTED),
    "usage_now": _View(_OWN, _COUNTED),
    "search_queue": _View(_OF_FILE),
} | {
    # What only operators and Landfall itself work with.
    table: _View(_NOBODYS)
    for table in (
        "audit_findings",
        "audit_inventories",
        "audit_inventory_files",
        "audit_ranges",
        "audits",
        "barred_identities",
        "buckets",
        "dead_events",
        "inventory_versions",
        "owner_rules",
        "stores",
    )
}
_SCHEMAS = (MEMBER_SCHEMA, PART_SCHEMA)

_ARE_WANTED = text("SELECT to_regnamespace(:schema) IS NOT NULL")
_HAS_TABLE = text("SELECT to_regclass(:table) IS NOT NULL")
_ROLES = text("SELECT rolname FROM pg_roles WHERE rolname IN ('landfall_members', 'landfall_app') ORDER BY 1")
_COMMENT = text("SELECT obj_description(to_regnamespace(:schema), 'pg_namespace')")


def empty_schemas(connection: Connection) -> None:
    """Make the schemas of the views, or drop all views in them. Then the tables below can be changed in any way."""
    drop_schemas(connection)
    for schema in _SCHEMAS:
        connection.execute(text(f"CREATE SCHEMA {schema}"))


def drop_schemas(connection: Connection) -> None:
    """Drop the views with their schemas."""
    for schema in reversed(_SCHEMAS):
        connection.execute(text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))


def have_schemas(connection: Connection) -> bool:
    """Whether this database is to have views: a migration has made their schemas."""
    return bool(connection.execute(_ARE_WANTED, {"schema": MEMBER_SCHEMA}).scalar_one())


def lack_views(connection: Connection) -> bool:
    """Whether the views are yet to be made: their schemas were made, or emptied, and have none."""
    return have_schemas(connection) and connection.execute(_COMMENT, {"schema": MEMBER_SCHEMA}).scalar_one() is None


def make_member_views(connection: Connection, revision: str | None) -> None:
    """Make the views anew and let members use them, unless that was done already for this revision and these roles.

    `landfall_app` may use them, too: it has to where the role of members was never made.
    """
    tables = [table for table in _VIEWS if connection.execute(_HAS_TABLE, {"table": table}).scalar_one()]
    statements = [_definition(schema, table) for schema in _SCHEMAS for table in tables]
    for role in connection.execute(_ROLES).scalars():
        statements += [grant for schema in _SCHEMAS for grant in _grants(schema, tables, role)]
    # A comment has no parameters, so it has nothing but digits and what names a revision.
    made = f"{revision} {crc32(';'.join(statements).encode())}"
    if connection.execute(_COMMENT, {"schema": MEMBER_SCHEMA}).scalar_one() == made:
        return
    empty_schemas(connection)
    for statement in statements:
        connection.execute(text(statement))
    connection.execute(text(f"COMMENT ON SCHEMA {MEMBER_SCHEMA} IS '{made}'"))


def _definition(schema: str, table: str) -> str:
    view = _VIEWS[table]
    rows = view.rows if schema == MEMBER_SCHEMA else f"{view.rows} AND {view.part}"
    rows = rows.format(files=_files_in(schema), sessions=f"{schema}.sessions")
    checked = " WITH CASCADED CHECK OPTION" if view.writes else ""
    return f"CREATE VIEW {schema}.{table} AS SELECT {view.columns} FROM {table} AS t WHERE {rows}{checked}"  # noqa: S608


def _files_in(schema: str) -> str:
    """What the view of files shows, where one is looked for: in an index that has nobody else's."""
    part = "" if schema == MEMBER_SCHEMA else f" AND {_VIEWS['files'].part}"
    return f"(SELECT t.* FROM files AS t WHERE {_OWN}{part})"  # noqa: S608 - no values


def _grants(schema: str, tables: Sequence[str], role: str) -> Iterator[str]:
    yield f"GRANT USAGE ON SCHEMA {schema} TO {role}"
    for table in tables:
        writes = _VIEWS[table].writes
        yield f"GRANT SELECT{', ' if writes else ''}{writes} ON {schema}.{table} TO {role}"
