"""What statements see that act for a member, whatever they ask for."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from chalicelib.db.engine import act_for, create_catalog_engine, savepoint, transaction
from chalicelib.db.outages import sqlstate
from chalicelib.db.scope import EVERYONE, MEMBER_SCHEMA, PART_SCHEMA, Owner, Scope
from tests.support.tenants import ADA, DELETED, EVE, PENDING, SECRET, STORED, add_tenants, tables

# Tables of which Ada has rows that she may see.
HERS = {
    "acts",
    "rates",
    "session_members",
    "trail",
    "waits",
    "api_keys",
    "file_events",
    "file_places",
    "file_search",
    "files",
    "identities",
    "jobs",
    "object_versions",
    "search_queue",
    "sessions",
    "shares",
    "uploads",
    "usage",
    "usage_changes",
    "usage_now",
    "users",
}


@pytest.fixture(scope="module")
def engine(new_migrated_database: Callable[[], str]) -> Iterator[Engine]:
    engine = create_catalog_engine(new_migrated_database())
    add_tenants(engine)
    yield engine
    engine.dispose()


def _rows(engine: Engine, scope: Scope) -> dict[str, int]:
    """How many rows a scope has of each table."""
    with transaction(engine) as session:
        names = tables(session)
        act_for(session, scope)
        counts = {name: session.execute(text(f"SELECT * FROM {name}")).all() for name in names}
    return {name: len(rows) for name, rows in counts.items()}


def test_every_table_has_a_view_for_members(engine: Engine) -> None:
    """A new table is named in `chalicelib.db.member_views`: as somebody's, or as nobody's."""
    shown = text("SELECT viewname FROM pg_views WHERE schemaname = :schema")
    with transaction(engine) as session:
        for schema in (MEMBER_SCHEMA, PART_SCHEMA):
            assert set(session.scalars(shown, {"schema": schema})) == set(tables(session))


def test_a_view_has_every_column_of_its_table(engine: Engine) -> None:
    columns = text("""
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = :schema AND table_name = ANY(:tables) AND column_name <> 'xmin'""")
    with transaction(engine) as session:
        of_tables = set(session.execute(columns, {"schema": "public", "tables": tables(session)}))
        for schema in (MEMBER_SCHEMA, PART_SCHEMA):
            assert set(session.execute(columns, {"schema": schema, "tables": tables(session)})) == of_tables


def test_a_statement_without_a_scope_finds_nothing_of_another_member(engine: Engine) -> None:
    assert set(_rows(engine, EVERYONE).values()) & {0} == set(), "there is something to find in every table"
    found = _rows(engine, Owner(EVE))
    assert found.pop("users") == 1
    assert set(found.values()) == {0}


def test_its_owner_finds_what_is_its_own(engine: Engine) -> None:
    found = _rows(engine, Owner(ADA))
    assert {name for name, count in found.items() if count} == HERS
    # Not the tombstone at the old key, and of the old key not what came there later.
    assert (found["files"], found["object_versions"], found["file_events"]) == (3, 3, 2)


def test_a_transaction_that_acts_for_nobody_finds_nothing(engine: Engine) -> None:
    with transaction(engine) as session:
        for name in tables(session):
            assert session.execute(text(f"SELECT * FROM {MEMBER_SCHEMA}.{name}")).all() == []


@pytest.mark.parametrize(
    ("scope", "files", "others"),
    [
        (Owner(ADA, prefix=f"{ADA}/in/"), {STORED, DELETED}, {"file_search": 2, "shares": 1, "object_versions": 3}),
        (Owner(ADA, prefix=f"{ADA}/out/"), {PENDING}, {"file_search": 1, "uploads": 1}),
        (Owner(ADA, session_id=SECRET), {STORED}, {"file_search": 1, "shares": 1, "sessions": 1, "usage_now": 1}),
        (Owner(ADA, prefix=f"{ADA}/out/", session_id=SECRET), set(), {}),
        (Owner(ADA, prefix=f"{ADA}/in/%"), set(), {}),
        (Owner(ADA, prefix="' OR true --"), set(), {}),
        (Owner(EVE, session_id=SECRET), set(), {}),
    ],
    ids=str,
)
def test_a_part_holds_in_every_table(engine: Engine, scope: Owner, files: set[object], others: dict[str, int]) -> None:
    with transaction(engine) as session:
        act_for(session, scope)
        assert set(session.scalars(text("SELECT id FROM files"))) == files
    found = _rows(engine, scope)
    assert found["jobs"] == 0, "this job was not asked for by the part"
    assert {name: found[name] for name in others} == others
    if not files:
        assert {name for name, count in found.items() if count} <= {
            "users",
            "identities",
            "sessions",
            "session_members",
        }


_WRITES = {
    "files": f"""INSERT INTO files (id, bucket, key, name, state, owner_id, created_at, updated_at)
        VALUES (gen_random_uuid(), 'b', gen_random_uuid()::text, 'n', 'pending', '{ADA}', now(), now())""",
    "sessions": f"""INSERT INTO sessions (id, owner_id, session_id, created_at, updated_at)
        VALUES (gen_random_uuid(), '{ADA}', 's', now(), now())""",
    "shares": f"""INSERT INTO shares (id, file_id, created_by, token_hash, expires_at, created_at)
        VALUES (gen_random_uuid(), '{STORED}', '{EVE}', 'x', now(), now())""",
}


@pytest.mark.parametrize("statement", _WRITES.values(), ids=_WRITES)
def test_nothing_can_be_written_for_another_member(engine: Engine, statement: str) -> None:
    with pytest.raises(DBAPIError) as refused, transaction(engine) as session:
        act_for(session, Owner(EVE))
        session.execute(text(statement))
    assert sqlstate(refused.value.orig) == "44000"


def test_nothing_of_another_member_is_changed_or_deleted(engine: Engine) -> None:
    with transaction(engine) as session:
        act_for(session, Owner(EVE))
        for name in ("files", "sessions", "uploads", "shares", "jobs"):
            assert session.execute(text(f"UPDATE {name} SET created_at = now()")).rowcount == 0  # type: ignore[attr-defined]
            assert session.execute(text(f"DELETE FROM {name}")).rowcount == 0  # type: ignore[attr-defined]


def test_a_member_may_not_touch_the_tables_nor_become_somebody_with_more_rights(engine: Engine) -> None:
    denied = [f"SELECT * FROM public.{name}" for name in sorted(HERS)]
    denied += ["DELETE FROM public.files", f"CREATE TABLE {MEMBER_SCHEMA}.t (n int)", "CREATE ROLE more"]
    denied += ["ALTER ROLE landfall_members SUPERUSER", "GRANT SELECT ON public.files TO landfall_members"]
    with transaction(engine) as session:
        act_for(session, Owner(EVE))
        assert session.scalar(text("SELECT current_user")) == "landfall_members"
        for statement in denied:
            with pytest.raises(DBAPIError) as refused, savepoint(session):
                session.execute(text(statement))
            assert sqlstate(refused.value.orig) == "42501", statement
