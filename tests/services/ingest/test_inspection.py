"""Inspection follows recording, and nothing that an object says of itself can hold up the others."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from chalicelib.catalog.objects import ObjectHead
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.db.inspection_queue import MAX_TRIES, request_given_up
from chalicelib.errors import DatabaseUnavailable, NotFound, Refused, StoreUnavailable, StoreUncertain
from chalicelib.services.ingest.inspection import inspect_due
from tests.support.contexts import context_on
from tests.support.notifications import NOON, s3_record
from tests.support.recording import deliver

_names = count()


class Store:
    """A store for faults: answers each key as told, or fails."""

    def __init__(self, heads: dict[str, Any], first: bytes = b"") -> None:
        self.heads, self.first, self.asked = heads, first, 0

    def head(self, bucket: str, key: str, version_id: str | None) -> ObjectHead:
        self.asked += 1
        answer = self.heads[key]
        if isinstance(answer, Exception):
            raise answer
        fields = {"size": 1, "etag": "e", "media_type": "text/plain", "metadata": {}, "storage_class": "STANDARD"}
        rest = {"checksums": {}, "last_modified": NOON, "version_id": ""}
        return ObjectHead(**(fields | rest | answer))

    def read_range(self, bucket: str, key: str, version_id: str | None, etag: str, start: int, stop: int) -> bytes:
        return self.first[start:stop]


class Inspected:
    """A bucket whose objects were recorded, and a clock."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.bucket, self.now = engine, f"inspection-{next(_names)}", NOON

    def record(self, *keys: str, **fields: Any) -> None:
        records = [
            s3_record("ObjectCreated:Put", key, bucket=self.bucket, sequencer="01", size=1, **fields) for key in keys
        ]
        deliver(self.engine, *records)

    def inspect(self, store: Any) -> int:
        return len(inspect_due(context_on(self.engine, store, clock=lambda: self.now), 50))

    def versions(self) -> dict[str, Any]:
        with transaction(self.engine) as session:
            rows = session.execute(text("SELECT * FROM object_versions WHERE bucket = :b"), {"b": self.bucket})
            return {row.key: row for row in rows}


@pytest.fixture
def bucket(new_migrated_database: Callable[[], str]) -> Iterator[Inspected]:
    engine = create_catalog_engine(new_migrated_database())
    yield Inspected(engine)
    engine.dispose()


def test_an_object_with_impossible_metadata_does_not_hold_up_others(bucket: Inspected) -> None:
    bucket.record("bad", "nul", "good")

    store = Store({"bad": {"media_type": "text/" + "x" * 4000}, "nul": {"metadata": {"a\x00": "b\x00"}}, "good": {}})
    assert bucket.inspect(store) == 3

    found = bucket.versions()
    assert {key: row.inspect_after for key, row in found.items()} == {"bad": None, "nul": None, "good": None}
    assert found["good"].media_type == "text/plain"
    assert found["bad"].media_type is None
    assert found["nul"].inspection["metadata"] == {"a": "b"}


def test_a_finding_that_the_database_refuses_is_given_up_alone(bucket: Inspected) -> None:
    bucket.record("huge", "good")
    assert bucket.inspect(Store({"huge": {"size": 2**70}, "good": {}})) == 2

    found = bucket.versions()
    assert (found["huge"].inspect_after, found["huge"].inspection) == (None, None)
    assert found["huge"].inspect_problem == "The database refused what was found."
    assert found["good"].media_type == "text/plain"


# As Postgres answers when its disk is full.
_FULL_DISK = (
    "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '53100'; END $$",
    "CREATE TRIGGER full_disk BEFORE UPDATE OF inspection ON object_versions FOR EACH ROW EXECUTE FUNCTION full_disk()",
)


def test_no_inspection_is_given_up_because_the_database_s_disk_is_full(bucket: Inspected) -> None:
    bucket.record("k")
    with transaction(bucket.engine) as session:
        for statement in _FULL_DISK:
            session.execute(text(statement))
    with pytest.raises(DatabaseUnavailable):
        bucket.inspect(Store({"k": {}}))
    with transaction(bucket.engine) as session:
        session.execute(text("DROP TRIGGER full_disk ON object_versions"))

    assert bucket.versions()["k"].inspect_problem is None
    bucket.now += timedelta(minutes=10)
    bucket.inspect(Store({"k": {}}))
    assert (bucket.versions()["k"].inspect_after, bucket.versions()["k"].media_type) == (None, "text/plain")


def test_an_inspection_is_retried_later_and_given_up_in_the_end(bucket: Inspected) -> None:
    bucket.record("k")
    store = Store({"k": StoreUnavailable("Down.")})
    waits = []
    while (due := bucket.versions()["k"].inspect_after) is not None:
        waits.append(due - bucket.now)
        bucket.now = due
        bucket.inspect(store)
        assert len(waits) <= MAX_TRIES

    assert store.asked == MAX_TRIES
    assert waits[:4] == [timedelta(0), timedelta(seconds=30), timedelta(seconds=60), timedelta(seconds=120)]
    assert bucket.versions()["k"].inspect_problem == "Down."

    with transaction(bucket.engine) as session:
        assert request_given_up(session, bucket.now, 10) == 1
        assert request_given_up(session, bucket.now, 10) == 0
    assert bucket.inspect(Store({"k": {}})) == 1
    assert (bucket.versions()["k"].inspect_problem, bucket.versions()["k"].media_type) == (None, "text/plain")


def test_one_object_that_s3_refuses_keeps_no_other_waiting(bucket: Inspected) -> None:
    """As with a key of KMS that Landfall may not use."""
    bucket.record("a", *(f"k{number}" for number in range(20)))
    refused = {"a": Refused("The object store could not read it.", "AccessDenied")}
    bucket.inspect(Store({**refused, **{f"k{number}": {} for number in range(20)}}))
    found = bucket.versions()
    assert [key for key, row in found.items() if row.media_type is None] == ["a"]
    assert (found["a"].inspect_problem, found["a"].inspect_after) == (
        "The object store could not read it.",
        bucket.now + timedelta(seconds=30),
    )


def test_where_s3_refuses_everything_few_inspections_lose_a_try(bucket: Inspected) -> None:
    names = [f"k{number:02}" for number in range(40)]
    bucket.record(*names)
    bucket.inspect(Store(dict.fromkeys(names, Refused("The object store could not read it.", "AccessDenied"))))
    assert sum(row.inspect_tries for row in bucket.versions().values()) <= 16


def test_an_object_of_a_store_without_versions_that_is_gone_is_gone(bucket: Inspected) -> None:
    class Plain(Store):
        def head(self, bucket: str, key: str, version_id: str | None) -> ObjectHead:
            if version_id is None:
                raise NotFound("There is none.")
            raise StoreUncertain("501")

    bucket.record("k")
    bucket.inspect(Plain({"k": {}}))
    assert (bucket.versions()["k"].inspect_after, bucket.versions()["k"].inspect_problem) == (None, None)


def test_an_object_without_an_id_below_a_delete_marker_is_inspected(bucket: Inspected) -> None:
    class Marked(Store):
        def head(self, bucket: str, key: str, version_id: str | None) -> ObjectHead:
            if version_id is None:
                raise NotFound("There is a delete marker.")
            assert version_id == "null"
            return super().head(bucket, key, version_id)

    bucket.record("k")
    bucket.inspect(Marked({"k": {}}))
    assert bucket.versions()["k"].media_type == "text/plain"


def test_an_object_that_is_gone_is_not_inspected_again(bucket: Inspected) -> None:
    bucket.record("k")
    bucket.inspect(Store({"k": NotFound("Gone.")}))
    assert bucket.versions()["k"].inspect_after is None


def test_a_claim_of_a_dead_process_is_taken_over_and_given_up_in_the_end(bucket: Inspected) -> None:
    bucket.record("k")

    class Killed(BaseException):
        pass

    for _ in range(MAX_TRIES):
        with pytest.raises(Killed):
            bucket.inspect(SimpleNamespace(head=lambda *_: (_ for _ in ()).throw(Killed())))
        assert bucket.inspect(Store({})) == 0, "nobody else gets it meanwhile"
        bucket.now += timedelta(minutes=6)

    assert bucket.inspect(Store({})) == 0
    assert bucket.versions()["k"].inspect_after is None
    assert bucket.versions()["k"].inspect_problem == "No try to inspect it came to an end."


def test_the_unversioned_object_of_a_versioned_key_is_asked_for_by_name(bucket: Inspected) -> None:
    bucket.record("k")
    asked = []

    def head(_bucket: str, _key: str, version_id: str | None) -> ObjectHead:
        asked.append(version_id)
        current = {"version_id": "v2", "media_type": "text/v2"} if version_id is None else {}
        return Store({"k": current}).head("", "k", None)

    bucket.inspect(SimpleNamespace(head=head, read_range=lambda *_: b"x"))

    assert asked == [None, "null"]
    assert bucket.versions()["k"].media_type == "text/plain"


def test_an_outage_of_the_store_counts_only_for_inspections_that_were_tried(bucket: Inspected) -> None:
    """A quarter of an hour of it, at the pace of the schedule: afterwards every file is inspected."""
    keys = [f"{number}.txt" for number in range(40)]
    bucket.record(*keys)
    down = Store({key: StoreUnavailable("It does not answer.") for key in keys})
    for _ in range(15):
        bucket.now += timedelta(minutes=1)
        bucket.inspect(down)

    assert down.asked <= 15 * 8  # of those begun at once, some may have been under way
    assert sum(version.inspect_tries for version in bucket.versions().values()) == down.asked

    up = Store({key: {} for key in keys})
    for _ in range(10):
        bucket.now += timedelta(hours=1)
        bucket.inspect(up)
    assert all(version.inspection for version in bucket.versions().values())
