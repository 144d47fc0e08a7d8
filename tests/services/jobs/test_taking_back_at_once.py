"""Taking an upload back while the event of its object is recorded: no deadlock, and the same end in any order."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.catalog.changes import CheckRequest
from chalicelib.catalog.commands import TakeBack, Taken
from chalicelib.catalog.notifications import Told, parse_message
from chalicelib.db.locks import lock_keys
from chalicelib.services.ingest.recording import record_events
from chalicelib.services.jobs.queue import create_job
from tests.support.backend import BUCKET, Backend
from tests.support.notifications import body, s3_record
from tests.support.waiting import eventually

_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
_WAITING = """SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


@dataclass
class HalfWay:
    """A file that waits, whose object S3 took; the job that takes it back; and what the event of the object tells."""

    file_id: UUID
    key: str
    job_id: UUID
    told: list[Told]


def half_way(backend: Backend) -> HalfWay:
    begun = backend.begin(size=5)
    file_id, key = begun.file.id, begun.file.key
    put = backend.s3.put_object(Bucket=BUCKET, Key=key, Body=b"hello")
    etag = put["ETag"].strip('"')
    fields = {"bucket": BUCKET, "version_id": put["VersionId"], "size": 5, "etag": etag}
    event = s3_record("ObjectCreated:Put", key, sequencer="0A", **fields)
    taken = Taken(file_id, begun.file.location, put["VersionId"], etag)
    with backend.context().transaction() as tx:
        job = create_job(tx, TakeBack([taken]), [file_id])
    told = [one for one in parse_message(body(event)) if not isinstance(one, CheckRequest)]
    return HalfWay(file_id, key, job.id, told)


def record(backend: Backend, half: HalfWay) -> None:
    with backend.context().transaction() as tx:
        record_events(tx, half.told)


def asked(query: str) -> int:
    with runtime.transaction() as session:
        session.execute(text("SELECT pg_stat_force_next_flush()"))
        return int(session.scalar(text(query)) or 0)


def assert_taken_back(backend: Backend, half: HalfWay) -> None:
    """S3 holds nothing, and no file shows."""
    listed = backend.s3.list_object_versions(Bucket=BUCKET, Prefix=half.key)
    assert not listed.get("Versions")
    assert not listed.get("DeleteMarkers")
    with runtime.transaction() as session:
        states = set(session.scalars(text("SELECT state FROM files WHERE key = :key"), {"key": half.key}))
        alive = session.scalar(
            text("SELECT count(*) FROM object_versions WHERE key = :key AND alive"), {"key": half.key}
        )
    assert (states <= {"deleted"}, alive) == (True, 0), states


def test_a_taking_back_waits_for_an_event_with_nothing_in_its_hands(backend: Backend) -> None:
    """The event has its key's lock and comes to the file then, so the file must be free."""
    half, before = half_way(backend), asked(_DEADLOCKS)
    with ThreadPoolExecutor(1) as pool:
        with backend.context().transaction() as tx:
            lock_keys(tx.session, [(BUCKET, half.key)])
            job: Future[Any] = pool.submit(backend.run, half.job_id)
            assert eventually(lambda: asked(_WAITING) == 1)
            record_events(tx, half.told)
        assert job.result().state == "done"
    assert asked(_DEADLOCKS) == before
    assert_taken_back(backend, half)
    assert backend.file(half.file_id).state == "deleted", "its event had made it a file"


@pytest.mark.parametrize("is_first", [True, False])
def test_one_after_the_other_ends_alike(backend: Backend, is_first: bool) -> None:
    half = half_way(backend)
    if is_first:
        record(backend, half)
    assert backend.run(half.job_id).state == "done"
    if not is_first:
        record(backend, half)
    assert_taken_back(backend, half)


def test_many_at_once_end_alike(backend: Backend) -> None:
    before = asked(_DEADLOCKS)
    for _ in range(10):
        half, together = half_way(backend), Barrier(2)

        def run(half: HalfWay = half, together: Barrier = together) -> str:
            together.wait()
            return str(backend.run(half.job_id).state)

        with ThreadPoolExecutor(1) as pool:
            job = pool.submit(run)
            together.wait()
            record(backend, half)
            assert job.result() == "done"
        assert_taken_back(backend, half)
    assert asked(_DEADLOCKS) == before
