"""Migrations are the only way to the schema: up, down and up again, and the models agree with the result."""

from datetime import UTC, datetime

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from chalicelib.db import migrate
from chalicelib.db.engine import transaction
from chalicelib.db.models import Base
from chalicelib.db.partitions import ensure_event_partitions


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
