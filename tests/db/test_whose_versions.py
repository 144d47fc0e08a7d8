"""Whose a version or an event is at a key that files have left; and what migration 0029 makes of older rows."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from chalicelib.db import migrate
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.db.retiring import retire

HALF_A_SECOND = 0.5 / 3600
ANN, BEN, CID, LEFT = (UUID(int=number) for number in range(1, 5))
_FILE = """INSERT INTO files (id, bucket, key, name, state, moved_to, owner_id, created_at, updated_at)
    VALUES (:id, 'b', :key, 'n', 'deleted', :moved_to, :owner_id, now(), coalesce(:updated_at, now()))"""


@pytest.fixture
def engine(new_migrated_database: Callable[[], str]) -> Iterator[Engine]:
    engine = create_catalog_engine(new_migrated_database())
    yield engine
    engine.dispose()


def at(hour: float) -> str:
    return (datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=hour)).isoformat()


def add_file(engine: Engine, file_id: UUID, key: str, **values: Any) -> None:
    with transaction(engine) as session:
        session.execute(
            text(_FILE), {"id": file_id, "key": key, "moved_to": None, "owner_id": None, "updated_at": None} | values
        )


def add_version(engine: Engine, version_id: str, hour: float | None, rank: str, **values: Any) -> None:
    row = """INSERT INTO object_versions (bucket, key, version_id, put_rank, stored_at, is_delete_marker, follows, etag,
        removal_rank) VALUES ('b', 'k', :version_id, :rank, :stored_at, :is_marker, :follows, :etag, :removal_rank)"""
    usual = {"version_id": version_id, "rank": rank, "stored_at": hour and at(hour), "is_marker": False}
    with transaction(engine) as session:
        session.execute(text(row), usual | {"follows": None, "etag": "e", "removal_rank": ""} | values)


def add_place(
    engine: Engine, file_id: UUID, hour: int, version_id: str | None, stored: int | None, etag: str = "e"
) -> None:
    row = "INSERT INTO file_places VALUES (:file_id, :moved_at, 'b', 'k', :version_id, :etag, :stored_at)"
    values = {"version_id": version_id, "etag": etag, "stored_at": stored and at(stored), "moved_at": at(hour)}
    with transaction(engine) as session:
        session.execute(text(row), {"file_id": file_id} | values)


def whose(engine: Engine) -> dict[str, UUID]:
    with transaction(engine) as session:
        rows = session.execute(
            text("SELECT version_id, file_of_version(bucket, key, version_id) AS whose FROM object_versions")
        )
        return {row.version_id: row.whose for row in rows}


def whose_event(engine: Engine, version_id: str, hour: int) -> UUID:
    with transaction(engine) as session:
        ask = "SELECT file_of_event('b', 'k', :version_id, CAST(:at AS timestamptz))"
        found: UUID = session.execute(text(ask), {"version_id": version_id, "at": at(hour)}).scalar_one()
        return found


def test_each_of_several_files_has_its_own_with_the_markers_above_it(engine: Engine) -> None:
    add_file(engine, CID, "k")
    add_version(engine, "m0", 1, "0", is_marker=True)
    for hour, (name, rank) in enumerate((("a1", "1"), ("a2", "2"), ("b1", "4"), ("c1", "6")), 2):
        add_version(engine, name, hour, rank)
    add_version(engine, "of a1", 3, "1~", is_marker=True)
    add_version(engine, "of a2", 12, "", is_marker=True, follows="a2")  # observed: its rank tells little
    add_version(engine, "of b1", 14, "5", is_marker=True)
    add_version(engine, "of c1", 16, "7", is_marker=True)
    add_place(engine, ANN, 11, "a2", 3)
    add_place(engine, BEN, 13, "b1", 4)

    mine = dict.fromkeys(("m0", "a1", "of a1", "a2", "of a2"), ANN)
    assert whose(engine) == mine | {"b1": BEN, "of b1": BEN, "c1": CID, "of c1": CID}
    # An event goes with its version, whenever it happened.
    assert (whose_event(engine, "a1", 23), whose_event(engine, "c1", 1)) == (ANN, CID)
    assert [whose_event(engine, "", hour) for hour in (10, 12, 14)] == [ANN, BEN, CID]


def test_what_was_replaced_within_its_second_goes_with_what_was_only_observed(engine: Engine) -> None:
    add_file(engine, BEN, "k")
    add_version(engine, "told", 1 + HALF_A_SECOND, "1")
    add_version(engine, "observed", 1, "2")
    add_place(engine, ANN, 2, "observed", 1)
    add_version(engine, "ben's", 3, "3")
    assert whose(engine) == {"told": ANN, "observed": ANN, "ben's": BEN}


@pytest.mark.parametrize("purged", [2, 1])
def test_a_retired_file_leaves_its_newest_object_and_no_marker(engine: Engine, purged: float) -> None:
    """Whatever the clock of who purged it was, to a minute."""
    add_file(engine, ANN, "k", updated_at=at(purged))
    removed = {"removal_rank": "~"}
    add_version(engine, "object", 1 + HALF_A_SECOND, "1", **removed)
    add_version(engine, "marker", 1, "1~", is_marker=True, follows="object", **removed)
    with transaction(engine) as session:
        retire(session, [ANN])
        left = session.execute(text("SELECT file_id, version_id FROM file_places")).all()
    assert [tuple(row) for row in left] == [(ANN, "object")]
    add_file(engine, BEN, "k")
    add_version(engine, "ben's", 3, "2")
    assert whose(engine) == {"object": ANN, "marker": ANN, "ben's": BEN}


def test_without_a_version_the_time_decides(engine: Engine) -> None:
    """As of moves before schema 0006."""
    add_file(engine, BEN, "k")
    add_version(engine, "before", 1, "1")
    add_version(engine, "after", 3, "2")
    add_version(engine, "unknown", None, "3")
    add_place(engine, ANN, 2, None, None)
    assert whose(engine) == {"before": ANN, "unknown": ANN, "after": BEN}


@pytest.mark.parametrize(("hour", "etag", "owner"), [(1, "e", ANN), (3, "e", BEN), (1, "another", BEN)])
def test_without_version_ids_the_object_itself_is_compared(engine: Engine, hour: int, etag: str, owner: UUID) -> None:
    add_file(engine, BEN, "k")
    add_version(engine, "", hour, "2", etag=etag)
    add_place(engine, ANN, 2, "", 1)
    assert whose(engine) == {"": owner}


def test_the_migration_takes_back_what_rules_gave_away_and_goes_down_with_files_gone(empty_engine: Engine) -> None:
    owner = {"owner_id": CID}
    migrate.upgrade(empty_engine, "0028")
    with transaction(empty_engine) as session:
        user = "INSERT INTO users (id, name, created_at, updated_at) VALUES (:id, 'Cid', now(), now())"
        session.execute(text(user), {"id": CID})
    add_file(empty_engine, ANN, "new", **owner)
    add_file(empty_engine, LEFT, "k", moved_to=ANN, **owner)
    migrate.upgrade(empty_engine)
    with transaction(empty_engine) as session:
        owners = {row.id: row.owner_id for row in session.execute(text("SELECT id, owner_id FROM files"))}
        assert owners == {ANN: CID, LEFT: None}
        session.execute(text("DELETE FROM files WHERE id = :id"), {"id": ANN})
    add_place(empty_engine, ANN, 2, None, None)

    migrate.downgrade(empty_engine, "0028")
    with transaction(empty_engine) as session:
        assert session.scalar(text("SELECT count(*) FROM file_places")) == 0
        assert session.scalar(text("SELECT moved_to FROM files")) is None
    migrate.upgrade(empty_engine)
