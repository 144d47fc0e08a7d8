"""Object Lock keeps a version that a job would remove: then a delete marker hides it, and the job ends."""

from datetime import timedelta

import pytest

from chalicelib import runtime
from chalicelib.catalog.commands import TakeBack, Taken
from chalicelib.catalog.objects import Location
from chalicelib.services.jobs import move
from chalicelib.services.jobs.queue import create_job
from tests.support.backend import BUCKET, Backend

NEW_KEY = "00000000-0000-7000-8000-000000000001/elsewhere.txt"


@pytest.fixture
def locking(backend: Backend) -> Backend:
    """A bucket with Object Lock."""
    backend.s3.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    return backend


def lock(backend: Backend, key: str, version_id: str) -> None:
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": runtime.now() + timedelta(days=7)}
    backend.s3.put_object_retention(Bucket=BUCKET, Key=key, VersionId=version_id, Retention=retention)


def shown(backend: Backend, key: str) -> list[bool]:
    """Whether the versions of a key, and its delete markers, are current."""
    listed = backend.s3.list_object_versions(Bucket=BUCKET, Prefix=key)
    return [one["IsLatest"] for kind in ("Versions", "DeleteMarkers") for one in listed.get(kind, [])]


def test_an_upload_is_taken_back_whose_first_object_is_locked_by_now(locking: Backend) -> None:
    ids = [locking.store_file() for _ in range(2)]
    first, second = (locking.file(file_id) for file_id in ids)
    lock(locking, first.key, first.version_id or "")
    taken = [
        Taken(file.id, Location(file.bucket, file.key), file.version_id or "", file.etag or "")
        for file in (first, second)
    ]
    with locking.context().transaction() as tx:
        job = create_job(tx, TakeBack(taken), ids)
    assert locking.run(job.id).state == "done"
    assert [locking.file(file_id).state for file_id in ids] == ["deleted", "deleted"]
    assert shown(locking, first.key) == [False, True]
    assert shown(locking, second.key) == []


def test_a_move_is_given_up_whose_copy_is_locked_by_now(locking: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    file_id = locking.store_file()
    before = locking.file(file_id)

    def is_locked_meanwhile(*_: object) -> None:
        lock(locking, NEW_KEY, locking.s3.head_object(Bucket=BUCKET, Key=NEW_KEY)["VersionId"])

    monkeypatch.setattr(move.moves, "exchange", is_locked_meanwhile)
    job = locking.begin_move(file_id, NEW_KEY)
    assert locking.run(job.id).state == "failed"
    assert shown(locking, NEW_KEY) == [False, True]
    assert (locking.file(file_id).key, locking.file(file_id).state) == (before.key, "stored")
