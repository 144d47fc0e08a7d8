"""Keys that are new are recorded without a look at their versions, and nobody can tell."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import Kind, ObjectChange, rank_after
from chalicelib.catalog.notifications import parse_message
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.db.models import User
from chalicelib.db.recording import record_changes
from chalicelib.ids import uuid7
from tests.support.notifications import NOON, body, s3_record
from tests.support.recording import deliver
from tests.support.waiting import eventually

PUT, DELETE = "ObjectCreated:Put", "ObjectRemoved:Delete"
_numbers = count()


@pytest.fixture(scope="module")
def engine(database_url: str) -> Engine:
    return create_catalog_engine(database_url, pool_size=3)


@pytest.fixture
def bucket() -> str:
    return f"new-keys-{next(_numbers)}"


def put(bucket: str, key: str, sequencer: str = "02", **fields: object) -> dict[str, object]:
    return s3_record(PUT, key, bucket=bucket, sequencer=sequencer, **{"size": 5, "etag": "e"} | fields)


def states(engine: Engine, bucket: str) -> dict[str, tuple[str, str | None]]:
    query = "SELECT key, state, version_id FROM files WHERE bucket = :bucket"
    with transaction(engine) as session:
        return {row.key: (row.state, row.version_id) for row in session.execute(text(query), {"bucket": bucket})}


def test_a_batch_of_new_and_known_keys_is_recorded_as_each_alone(engine: Engine, bucket: str) -> None:
    deliver(engine, put(bucket, "known"), s3_record(DELETE, "gone before", bucket=bucket, sequencer="09"))
    batch = [
        put(bucket, "new"),
        put(bucket, "known", "03", version_id="v2"),
        put(bucket, "gone before"),
        put(bucket, "twice", "01", version_id="v1"),
        put(bucket, "twice", "02", version_id="v2"),
        put(bucket, "put and gone", "01"),
        s3_record(DELETE, "put and gone", bucket=bucket, sequencer="02"),
        s3_record(DELETE, "never there", bucket=bucket, sequencer="01"),
        s3_record("ObjectRemoved:DeleteMarkerCreated", "only a marker", bucket=bucket, sequencer="01", version_id="m"),
    ]

    first = deliver(engine, *batch)
    assert first == ["created", "updated", "updated", "created", "created", "updated", "deleted", "deleted", "deleted"]
    expected = {
        "new": ("stored", ""),
        "known": ("stored", "v2"),
        "gone before": ("deleted", None),
        "twice": ("stored", "v2"),
        "put and gone": ("deleted", None),
    }
    assert states(engine, bucket) == expected
    assert deliver(engine, *batch) == ["duplicate"] * len(batch)
    assert states(engine, bucket) == expected


def test_a_put_from_before_a_purge_is_removed_although_its_version_is_new(engine: Engine, bucket: str) -> None:
    deliver(engine, s3_record("LifecycleExpiration:DeleteAllVersions", "k", bucket=bucket, sequencer="05"))
    deliver(engine, put(bucket, "k", "04", version_id="v1"), put(bucket, "other"))
    assert states(engine, bucket) == {"k": ("deleted", None), "other": ("stored", "")}


def test_a_new_key_that_was_observed_is_a_file_at_once_and_its_event_is_an_update(engine: Engine, bucket: str) -> None:
    observed = ObjectChange(Kind.PUT, bucket, "k", "v", rank_after(""), "observed", size=5, is_observation=True)
    with transaction(engine) as session:
        record_changes(session, [observed], NOON)
    assert states(engine, bucket) == {"k": ("stored", "v")}
    assert deliver(engine, put(bucket, "k", version_id="v")) == ["updated"]


def test_thousands_of_new_and_known_changes_are_told_apart(engine: Engine, bucket: str) -> None:
    old = [put(bucket, f"{number}") for number in range(0, 1500, 3)]
    deliver(engine, *old)
    outcomes = deliver(engine, *(put(bucket, f"{number}") for number in range(1500)))
    assert outcomes == ["duplicate" if number % 3 == 0 else "created" for number in range(1500)]
    assert len(states(engine, bucket)) == 1500


@pytest.fixture
def owner(engine: Engine) -> User:
    user = User(id=uuid7(NOON), name="Ada", created_at=NOON, updated_at=NOON)
    with transaction(engine) as session:
        session.add(user)
    return user


@pytest.fixture
def hold(engine: Engine) -> Iterator[Callable[[str], Session]]:
    """Called with a statement, it gives the session of a transaction in which that has run."""
    held: list[Session] = []

    def run(statement: str) -> Session:
        held.append(Session(engine))
        held[-1].execute(text(statement))
        return held[-1]

    yield run
    for session in held:
        session.rollback()
        session.close()


def test_no_file_is_waited_for_once_usage_is_counted(
    engine: Engine, bucket: str, owner: User, hold: Callable[[str], Session]
) -> None:
    """What is recorded by the API counts at once. A client that changes one of the files locks it first, and then usage."""
    known, new = f"{owner.id}/known", f"{owner.id}/new"
    deliver(engine, put(bucket, known, size=1))
    client = hold(f"UPDATE files SET name = 'x' WHERE key = '{known}' AND bucket = '{bucket}'")

    def record() -> None:
        changes = [change for record in (put(bucket, new, size=2), put(bucket, known, "03", size=3))
                   for change in parse_message(body(record)) if isinstance(change, ObjectChange)]  # fmt: skip
        with transaction(engine) as session:
            record_changes(session, changes, NOON)

    with ThreadPoolExecutor(1) as pool:
        recording = pool.submit(record)
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        with transaction(engine) as session:
            assert eventually(lambda: session.scalar(waiting) > 0)
        client.execute(
            text(f"UPDATE files SET state = 'deleted', version_id = NULL, size = NULL WHERE key = '{known}'")
        )
        client.commit()
        recording.result()

    with transaction(engine) as session:
        usage = session.execute(text("SELECT files, bytes FROM usage_now WHERE owner_id = :id"), {"id": owner.id})
        assert usage.one() == (2, 5)
