"""Object Lock: what comes is locked, what is locked is not removed, and says so."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from botocore.exceptions import ClientError

from chalicelib import runtime
from chalicelib.catalog.commands import EmptyTrash
from chalicelib.catalog.objects import Location
from chalicelib.errors import Locked, StoreUnavailable
from chalicelib.services.ingest.inspection import inspect_due
from chalicelib.services.jobs.queue import create_job
from chalicelib.services.removal import trash
from chalicelib.services.removal.deletion import delete_found
from chalicelib.services.truth.healing import heal
from tests.support.aws import make_bucket
from tests.support.backend import BUCKET, OPTIONS, Backend

_LOCKING = OPTIONS.model_copy(update={"lock_days": 7, "trash_days": 1})


@pytest.fixture
def locked(backend: Backend) -> Backend:
    """A backend whose bucket has Object Lock. The bucket keeps it, which bothers nobody."""
    configuration = {"ObjectLockEnabled": "Enabled"}
    backend.s3.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=configuration)
    return backend


def _stored(backend: Backend, settings: Any = _LOCKING) -> UUID:
    """A file that was inspected."""
    file_id = backend.store_file()
    inspect_due(backend.context(settings=settings), 100)
    return file_id


def _lock_of(backend: Backend, file_id: UUID) -> tuple[str | None, datetime | None]:
    file = backend.file(file_id)
    head = backend.s3.head_object(Bucket=BUCKET, Key=file.key, VersionId=file.version_id)
    return head.get("ObjectLockMode"), head.get("ObjectLockRetainUntilDate")


@pytest.mark.parametrize("mode", ["governance", "compliance"])
def test_a_file_is_locked_for_its_days_since_it_was_put(locked: Backend, mode: str) -> None:
    file_id = _stored(locked, _LOCKING.model_copy(update={"lock_mode": mode}))
    file = locked.file(file_id)
    put_at = locked.s3.head_object(Bucket=BUCKET, Key=file.key)["LastModified"]
    assert _lock_of(locked, file_id) == (mode.upper(), put_at + timedelta(days=7))
    with pytest.raises(ClientError, match="AccessDenied"):
        locked.s3.delete_object(Bucket=BUCKET, Key=file.key, VersionId=file.version_id)


def test_without_the_setting_nothing_is_locked(locked: Backend) -> None:
    assert _lock_of(locked, _stored(locked, OPTIONS)) == (None, None)


def test_a_version_below_another_one_is_locked_too(locked: Backend) -> None:
    begun = locked.begin(size=5)
    locked.put(begun, b"first")
    locked.complete(begun)
    first = locked.file(begun).version_id
    locked.put(begun, b"again")
    inspect_due(locked.context(settings=_LOCKING), 100)
    head = locked.s3.head_object(Bucket=BUCKET, Key=begun.file.key, VersionId=first)
    assert head["ObjectLockMode"] == "GOVERNANCE"


def test_a_longer_lock_stays(locked: Backend) -> None:
    file_id = locked.store_file()
    file = locked.file(file_id)
    until = (runtime.now() + timedelta(days=30)).replace(microsecond=0)
    retention = {"Mode": "COMPLIANCE", "RetainUntilDate": until}
    locked.s3.put_object_retention(Bucket=BUCKET, Key=file.key, VersionId=file.version_id, Retention=retention)
    inspect_due(locked.context(settings=_LOCKING), 100)
    assert _lock_of(locked, file_id) == ("COMPLIANCE", until)


def test_what_is_older_than_the_lock_lasts_is_not_locked(locked: Backend) -> None:
    file_id = locked.store_file()
    inspect_due(locked.context(settings=_LOCKING, hours=24 * 8), 100)
    assert _lock_of(locked, file_id) == (None, None)


def test_a_bucket_without_object_lock_is_noticed_and_tried_again(backend: Backend) -> None:
    make_bucket(backend.s3, "no-lock", versioned=True)
    elsewhere = _LOCKING.model_copy(update={"bucket": "no-lock"})
    ctx = backend.context(settings=elsewhere)
    backend.s3.put_object(Bucket="no-lock", Key="a", Body=b"1")
    version = backend.s3.head_object(Bucket="no-lock", Key="a")["VersionId"]
    with pytest.raises(StoreUnavailable, match="could not lock"):
        ctx.store.lock("no-lock", "a", version, "governance", runtime.now() + timedelta(days=1))


def test_a_locked_file_goes_to_the_trash_and_stays_there_until_the_lock_is_over(locked: Backend) -> None:
    file_id = _stored(locked)
    delete_found(locked.context(settings=_LOCKING), file_id)
    assert locked.file(file_id).state == "deleted"

    with pytest.raises(Locked, match=r"Object Lock keeps 1 of the file's versions, the last one until \d{4}-"):
        trash.purge(locked.context(settings=_LOCKING), file_id)
    key = locked.file(file_id).key
    versions, markers = _entries(locked, key)
    assert (len(versions), len(markers)) == (1, 1)  # without the marker, the file would be back
    assert locked.file(file_id).state == "deleted"

    # The trash would be due after a day. The clock waits for the lock's end, and holds nothing up before.
    for days in (2, 6):
        assert trash.purge_old(locked.context(hours=24 * days, settings=_LOCKING), 100) == 0
    _unlock(locked, file_id)
    assert trash.purge_old(locked.context(hours=24 * 8, settings=_LOCKING), 100) == 1
    assert _entries(locked, key) == ([], [])


def test_what_is_locked_for_longer_rests_and_is_tried_again(locked: Backend) -> None:
    file_id = _stored(locked)
    delete_found(locked.context(settings=_LOCKING), file_id)
    # Here S3's clock has not come so far.
    assert trash.purge_old(locked.context(hours=24 * 8, settings=_LOCKING), 100) == 0
    _unlock(locked, file_id)
    assert trash.purge_old(locked.context(hours=24 * 8, settings=_LOCKING), 100) == 0
    assert trash.purge_old(locked.context(hours=24 * 8 + 2, settings=_LOCKING), 100) == 1


def test_versions_that_are_not_locked_are_removed_and_the_others_later(locked: Backend) -> None:
    begun = locked.begin(size=5)
    locked.put(begun, b"first")
    locked.complete(begun)
    inspect_due(locked.context(settings=_LOCKING), 100)
    first, key = locked.file(begun).version_id, begun.file.key
    locked.s3.put_object(Bucket=BUCKET, Key=key, Body=b"again")
    heal(locked.context(), [Location(BUCKET, key)])
    delete_found(locked.context(), begun.file.id)

    for _ in range(2):  # the second time there is nothing but the locked one
        with pytest.raises(Locked, match="keeps 1 of"):
            trash.purge(locked.context(), begun.file.id)
        versions, markers = _entries(locked, key)
        assert (versions, len(markers)) == ([first], 1)
    _unlock(locked, begun.file.id, first)
    trash.purge(locked.context(), begun.file.id)
    assert _entries(locked, key) == ([], [])


def test_a_legal_hold_is_named(locked: Backend) -> None:
    file_id = locked.store_file()
    file = locked.file(file_id)
    held = {"Bucket": BUCKET, "Key": file.key, "VersionId": file.version_id}
    locked.s3.put_object_legal_hold(**held, LegalHold={"Status": "ON"})
    delete_found(locked.context(), file_id)
    with pytest.raises(Locked, match="A legal hold keeps 1 of"):
        trash.purge(locked.context(), file_id)
    locked.s3.put_object_legal_hold(**held, LegalHold={"Status": "OFF"})
    trash.purge(locked.context(), file_id)


def test_emptying_the_trash_says_what_is_locked(locked: Backend) -> None:
    kept, free = _stored(locked), locked.store_file()
    ctx = locked.context(settings=_LOCKING)
    for file_id in (kept, free):
        delete_found(ctx, file_id)
    with ctx.transaction() as tx:
        job = create_job(tx, EmptyTrash(runtime.now(), everyones=False))
    done = locked.run(job.id)
    (failure,) = done.progress["failures"]
    assert failure["what"] == str(kept)
    assert "Object Lock keeps 1 of" in failure["why"]
    assert done.progress["done"] == 1


def _entries(backend: Backend, key: str) -> tuple[list[str], list[str]]:
    """The ids of the versions and of the delete markers at a key."""
    listed = backend.s3.list_object_versions(Bucket=BUCKET, Prefix=key)
    return [one["VersionId"] for one in listed.get("Versions", [])], [
        one["VersionId"] for one in listed.get("DeleteMarkers", [])
    ]


def _unlock(backend: Backend, file_id: UUID, version_id: str | None = None) -> None:
    """End a lock, as somebody may who has the right to, or time does."""
    key = backend.file(file_id).key
    named = version_id or _entries(backend, key)[0][0]
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": runtime.now() - timedelta(days=1)}
    backend.s3.put_object_retention(
        Bucket=BUCKET, Key=key, VersionId=named, Retention=retention, BypassGovernanceRetention=True
    )
