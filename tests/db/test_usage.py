"""An owner's usage is right at once, and recording never waits for it."""

from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine, text

from chalicelib.catalog.notifications import parse_message
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.db.models import File, User
from chalicelib.db.scope import Owner
from chalicelib.db.usage import add_up_changes, counted_usage
from chalicelib.ids import uuid7
from chalicelib.services.ingest.recording import record_events
from tests.support.contexts import transaction_on
from tests.support.notifications import NOON, body, s3_record
from tests.support.recording import deliver

BUCKET = "usage"
_names = count()


@pytest.fixture(scope="module")
def engine(database_url: str) -> Engine:
    return create_catalog_engine(database_url, pool_size=3)


@pytest.fixture
def owner(engine: Engine) -> Owner:
    user = User(id=uuid7(NOON), name="Ada", created_at=NOON, updated_at=NOON)
    with transaction(engine) as session:
        session.add(user)
    return Owner(user.id)


def announce(engine: Engine, owner: Owner) -> str:
    """A file of the owner that waits for its object, of unknown size; returns its key."""
    key = f"announced {next(_names)}"
    made: dict[str, Any] = {"id": uuid7(NOON), "created_at": NOON, "updated_at": NOON}
    file = File(bucket=BUCKET, key=key, name=key, state="pending", owner_id=owner.user_id, **made)
    with transaction(engine) as session:
        session.add(file)
    return key


def put(key: str, size: int) -> dict[str, object]:
    return s3_record("ObjectCreated:Put", key, bucket=BUCKET, sequencer="01", size=size)


def counted(engine: Engine, owner: Owner) -> tuple[int, int]:
    with transaction(engine) as session:
        return counted_usage(session, owner, [""]).get("", (0, 0))


def rows_of(engine: Engine, owner: Owner) -> tuple[int, int]:
    """Bytes in the owner's row, and the number of changes that are not in it yet."""
    with transaction(engine) as session:
        query = """SELECT coalesce((SELECT bytes FROM usage WHERE owner_id = :id), 0),
            (SELECT count(*) FROM usage_changes WHERE owner_id = :id)"""
        return tuple(session.execute(text(query), {"id": owner.user_id}).one())


def test_batches_with_files_of_one_owner_do_not_wait_for_each_other(engine: Engine, owner: Owner) -> None:
    first, second = announce(engine, owner), announce(engine, owner)
    with transaction_on(engine) as tx:
        record_events(tx, parse_message(body(put(first, 5))))
        # This one would wait for the first for ever, and give up after its patience.
        assert deliver(engine, put(second, 7)) == ["created"]

    assert counted(engine, owner) == (2, 12)


def test_what_was_recorded_counts_before_and_after_it_is_added_up(engine: Engine, owner: Owner) -> None:
    deliver(engine, put(announce(engine, owner), 5))
    deliver(engine, put(announce(engine, owner), 7))
    assert rows_of(engine, owner) == (0, 2)
    assert counted(engine, owner) == (2, 12)

    with transaction(engine) as session:
        assert add_up_changes(session) >= 2
    assert rows_of(engine, owner) == (12, 0)
    assert counted(engine, owner) == (2, 12)
    with transaction(engine) as session:
        assert add_up_changes(session) == 0


def test_adding_up_that_is_rolled_back_loses_nothing(engine: Engine, owner: Owner) -> None:
    deliver(engine, put(announce(engine, owner), 5))
    with pytest.raises(ZeroDivisionError), transaction(engine) as session:
        add_up_changes(session)
        raise ZeroDivisionError
    assert rows_of(engine, owner) == (0, 1)
    assert counted(engine, owner) == (1, 5)


def test_recording_while_changes_are_added_up_waits_for_nothing_and_counts(engine: Engine, owner: Owner) -> None:
    deliver(engine, put(announce(engine, owner), 5))
    waiting = announce(engine, owner)
    with transaction(engine) as session:
        add_up_changes(session)
        assert deliver(engine, put(waiting, 7)) == ["created"]
    assert counted(engine, owner) == (2, 12)
    assert rows_of(engine, owner) == (5, 1)


def test_a_user_who_is_deleted_takes_the_changes_along(engine: Engine, owner: Owner) -> None:
    key = announce(engine, owner)
    deliver(engine, put(key, 5))
    with transaction(engine) as session:
        session.execute(text("DELETE FROM files WHERE key = :key"), {"key": key})
        session.execute(text("DELETE FROM users WHERE id = :id"), {"id": owner.user_id})
    assert rows_of(engine, owner) == (0, 0)
    with transaction(engine) as session:
        add_up_changes(session)
