"""Migrations are the only way to the schema: up, down and up again, and the models agree with the result."""

import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import ProgrammingError

from chalicelib.db import migrate
from chalicelib.db.engine import transaction
from chalicelib.db.models import Base
from chalicelib.db.partitions import ensure_event_partitions
from dev.configuration import PROJECT


def _is_ours(name: str | None, kind: str, parents: object) -> bool:
    return not (name or "").startswith("file_events_") or name == "file_events_pkey"


def test_migrations_run_up_down_and_up_again_and_agree_with_the_models(empty_engine: Engine) -> None:
    migrate.upgrade(empty_engine)
    migrate.downgrade(empty_engine, "base")

    assert set(inspect(empty_engine).get_table_names()) <= {"alembic_version"}

    migrate.upgrade(empty_engine)
    with empty_engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_name": _is_ours}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []
        assert migrate.current_revision(connection) == migrate.newest_revision()


def test_a_second_migration_changes_nothing(empty_engine: Engine) -> None:
    migrate.upgrade(empty_engine)
    migrate.upgrade(empty_engine)


def test_a_migration_that_fails_leaves_those_before_it(empty_engine: Engine) -> None:
    migrate.upgrade(empty_engine, "0025")
    _make_views_as_the_release_of_that_time(empty_engine)
    _obstruct(empty_engine)
    with pytest.raises(ProgrammingError, match="already exists"):
        migrate.upgrade(empty_engine)
    assert _revision(empty_engine) == "0026"
    with transaction(empty_engine) as session:  # the release that is at work needs them
        assert session.execute(text("SELECT * FROM landfall_member.files")).all() == []

    _make_way(empty_engine)
    migrate.upgrade(empty_engine)
    assert _revision(empty_engine) == migrate.newest_revision()


def test_nobody_sees_a_schema_without_the_views_of_members(empty_engine: Engine) -> None:
    """A migration that drops them ends with those after it, when they are made again."""
    _obstruct(empty_engine)
    with pytest.raises(ProgrammingError, match="already exists"):
        migrate.upgrade(empty_engine)
    assert _revision(empty_engine) == "0022"
    _make_way(empty_engine)
    migrate.upgrade(empty_engine)
    assert _revision(empty_engine) == migrate.newest_revision()


def test_two_that_migrate_at_once_take_turns(empty_engine: Engine) -> None:
    """In processes of their own, since Alembic knows one migration at a time in each."""
    code = "from chalicelib.db import engine, migrate; import sys; migrate.upgrade(engine.create_catalog_engine(sys.argv[1]))"
    url = empty_engine.url.render_as_string(hide_password=False)
    both = [subprocess.Popen([sys.executable, "-c", code, url], cwd=PROJECT) for _ in range(2)]
    assert [one.wait(300) for one in both] == [0, 0]
    assert _revision(empty_engine) == migrate.newest_revision()


def test_upgrading_to_what_is_passed_already_changes_nothing(empty_engine: Engine) -> None:
    migrate.upgrade(empty_engine)
    migrate.upgrade(empty_engine, "0025")
    assert _revision(empty_engine) == migrate.newest_revision()


def _make_views_as_the_release_of_that_time(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE VIEW landfall_member.files AS SELECT * FROM files"))
        connection.execute(text("COMMENT ON SCHEMA landfall_member IS 'those of revision 0025'"))


def _obstruct(engine: Engine) -> None:
    """Make something that has the name of an index of revision 0027."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE files_own_tags_idx ()"))


def _make_way(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE files_own_tags_idx"))


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return migrate.current_revision(connection)


def test_constraints_and_checks_are_the_same_in_models_and_database(empty_engine: Engine) -> None:
    migrate.upgrade(empty_engine)
    inspector = inspect(empty_engine)
    for table in Base.metadata.sorted_tables:
        expected = {str(c.name) for c in table.constraints if type(c).__name__ == "CheckConstraint"}
        assert {c["name"] for c in inspector.get_check_constraints(table.name)} == expected, table.name


def test_every_foreign_key_is_indexed(empty_engine: Engine) -> None:
    migrate.upgrade(empty_engine)
    inspector = inspect(empty_engine)
    for table in Base.metadata.sorted_tables:
        indexed = [tuple(index["column_names"]) for index in inspector.get_indexes(table.name)]
        indexed.append(tuple(inspector.get_pk_constraint(table.name)["constrained_columns"]))

        for key in inspector.get_foreign_keys(table.name):
            columns = tuple(key["constrained_columns"])
            assert any(index[: len(columns)] == columns for index in indexed), (table.name, columns)


def test_events_of_a_month_without_a_partition_are_kept_until_it_is_made(empty_engine: Engine) -> None:
    migrate.upgrade(empty_engine)
    insert = text("""
        INSERT INTO file_events (bucket, key, rank, version_id, event_time, change, event_name, sequencer, recorded_at)
        VALUES ('b', 'k', 'r', '', '2031-05-17', 'put', 'e', '', now())
    """)
    count_in = "SELECT count(*) FROM {}"
    with transaction(empty_engine) as session:
        session.execute(insert)
        assert session.execute(text(count_in.format("file_events_default"))).scalar_one() == 1

        made = ensure_event_partitions(session.connection(), datetime(2031, 4, 2, tzinfo=UTC))
        assert made == [f"file_events_2031_{month:02}" for month in range(3, 8)]
        assert session.execute(text(count_in.format("file_events_2031_05"))).scalar_one() == 1
        assert session.execute(text(count_in.format("file_events_default"))).scalar_one() == 0
        assert ensure_event_partitions(session.connection(), datetime(2031, 4, 2, tzinfo=UTC)) == []

        indexes = "SELECT count(*) FROM pg_indexes WHERE tablename = 'file_events_2031_05'"
        assert session.execute(text(indexes)).scalar_one() == 1


_SHARED_WITH_ADDRESSES = """
INSERT INTO users (id, name, email, role, created_at, updated_at)
SELECT CAST(id AS uuid), 'x', email, 'member', now(), now() FROM (VALUES
    ('00000000-0000-7000-8000-00000000000a', NULL), ('00000000-0000-7000-8000-00000000000b', 'was@x'),
    ('00000000-0000-7000-8000-00000000000c', 'Is@x')) AS u (id, email);
INSERT INTO sessions (id, owner_id, session_id, created_at, updated_at)
VALUES ('00000000-0000-7000-8000-0000000000ff', '00000000-0000-7000-8000-00000000000a', 's', now(), now());
INSERT INTO session_members (id, session_row_id, user_id, email, role, created_at, updated_at)
SELECT CAST('00000000-0000-7000-8000-0000000000f' || n AS uuid), '00000000-0000-7000-8000-0000000000ff',
    CAST('00000000-0000-7000-8000-00000000000' || who AS uuid), email, 'viewer', now(), now()
FROM (VALUES (1, 'a', 'was@x'), (2, 'b', 'left@x'), (3, 'c', 'is@x'), (4, 'c', NULL), (5, NULL, 'nobody@x')) AS m (n, who, email)
"""


def test_what_is_shared_with_an_address_belongs_to_who_has_it_since_addresses_are_followed(
    empty_engine: Engine,
) -> None:
    followed = import_module("chalicelib.db.migrations.versions.0030_addresses_that_left")
    migrate.upgrade(empty_engine, followed.down_revision)
    with empty_engine.begin() as connection:
        for statement in _SHARED_WITH_ADDRESSES.split(";"):
            connection.execute(text(statement))
    migrate.upgrade(empty_engine)
    with empty_engine.begin() as connection:
        rows = connection.execute(
            text("SELECT email, right(CAST(user_id AS text), 1) FROM session_members ORDER BY id")
        )
        assert [tuple(row) for row in rows] == [
            ("was@x", "b"),
            ("left@x", None),
            ("is@x", "c"),
            (None, "c"),
            ("nobody@x", None),
        ]
