"""Restoring and purging where versioning is suspended: what another client has put in place of a ``null`` version stays."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.catalog.files import File
from chalicelib.errors import Conflict
from chalicelib.services.jobs.undelete import begin_undelete, outcomes_of
from chalicelib.services.removal import trash
from chalicelib.services.removal.deletion import delete_file
from chalicelib.services.truth.healing import heal
from tests.support.aws import set_versioning
from tests.support.backend import BUCKET, OPTIONS, Backend
from tests.support.notifications import body, s3_record
from tests.support.recording import deliver_messages


@pytest.fixture(autouse=True)
def versions_on_again(backend: Backend) -> Iterator[None]:
    yield
    set_versioning(backend.s3, BUCKET, "Enabled")


@pytest.fixture(params=["version", "null"])
def deleted(backend: Backend, request: pytest.FixtureRequest) -> File:
    """A deleted file. Versioning is suspended by now: either its delete marker or its object is the ``null`` version."""
    if request.param == "null":
        set_versioning(backend.s3, BUCKET, "Suspended")
    file_id = backend.store_file()
    set_versioning(backend.s3, BUCKET, "Suspended" if request.param == "version" else "Enabled")
    delete_file(backend.context(), file_id)
    set_versioning(backend.s3, BUCKET, "Suspended")
    return backend.file(file_id)


def ids(backend: Backend, key: str) -> dict[str, bool]:
    """The version ids of a key, and whether each is current."""
    listed = backend.s3.list_object_versions(Bucket=BUCKET, Prefix=key)
    return {one["VersionId"]: one["IsLatest"] for kind in ("Versions", "DeleteMarkers") for one in listed.get(kind, [])}


def restore(backend: Backend, file_id: UUID) -> str | None:
    """Restore a file; says why it could not be."""
    (begun,) = begin_undelete(backend.context(), [file_id])
    assert begun.job_id is not None
    assert backend.run(begun.job_id).state == "done"
    (outcome,) = outcomes_of(backend.context(), begun.job_id, [file_id])
    return outcome.error and str(outcome.error)


@pytest.mark.parametrize("body", [b"new", b"hello"], ids=["another", "the same again"])
def test_a_purge_leaves_an_object_that_nobody_has_told_of(backend: Backend, deleted: File, body: bytes) -> None:
    backend.s3.put_object(Bucket=BUCKET, Key=deleted.key, Body=body)
    before = ids(backend, deleted.key)
    late = backend.context(hours=48, settings=OPTIONS.model_copy(update={"trash_days": 1}))
    assert trash.purge_old(late, 100) == 0
    assert ids(backend, deleted.key) == before
    assert backend.read(deleted.key) == body
    file = backend.file(deleted.id)
    assert (file.state, file.version_id, file.size) == ("stored", "", len(body))
    trash.purge(backend.context(), deleted.id)
    assert backend.read(deleted.key) == body


@pytest.mark.parametrize("deleted", ["version"], indirect=True)
def test_a_restore_leaves_an_object_that_nobody_has_told_of(backend: Backend, deleted: File) -> None:
    (begun,) = begin_undelete(backend.context(), [deleted.id])
    assert begun.job_id is not None
    backend.s3.put_object(Bucket=BUCKET, Key=deleted.key, Body=b"new")
    assert backend.run(begun.job_id).state == "done"
    (outcome,) = outcomes_of(backend.context(), begun.job_id, [deleted.id])
    assert isinstance(outcome.error, Conflict)
    assert "Another client" in str(outcome.error)
    assert backend.read(deleted.key) == b"new"
    assert (backend.file(deleted.id).state, backend.file(deleted.id).size) == ("stored", 3)
    with runtime.transaction() as session:
        assert session.scalar(text("SELECT restoring FROM files WHERE id = :id"), {"id": deleted.id}) is None


@pytest.mark.parametrize("deleted", ["version"], indirect=True)
def test_what_a_later_marker_hides_stays_hidden(backend: Backend, deleted: File) -> None:
    """Nobody has told of an object, but of the delete marker above it."""
    backend.s3.put_object(Bucket=BUCKET, Key=deleted.key, Body=b"new")
    set_versioning(backend.s3, BUCKET, "Enabled")
    marker = backend.s3.delete_object(Bucket=BUCKET, Key=deleted.key)["VersionId"]
    told = s3_record(
        "ObjectRemoved:DeleteMarkerCreated", deleted.key, bucket=BUCKET, version_id=marker,
        sequencer="FFFFFFFFFFFFFFFF", time=runtime.now(),
    )  # fmt: skip
    deliver_messages(runtime.engine(), [body(told)], runtime.now())
    assert "Another client" in (restore(backend, deleted.id) or "")
    assert ids(backend, deleted.key)[marker], "it is still the current one"
    assert backend.file(deleted.id).state == "deleted"


def test_a_purge_says_after_each_batch_that_it_goes_on(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the job's next process would begin beside it, and after five of them the job would be given up."""
    monkeypatch.setattr(trash, "_MAX_VERSIONS", 1)
    file_id = backend.store_file()
    backend.s3.put_object(Bucket=BUCKET, Key=backend.file(file_id).key, Body=b"second")
    heal(backend.context(), [backend.file(file_id).location])
    delete_file(backend.context(), file_id)
    told: list[int] = []
    trash.purge(backend.context(), file_id, purging=trash.Purging(on_batch=lambda: told.append(1)))
    assert len(told) == 3, "two objects and a marker"


def test_what_nobody_has_replaced_is_restored(backend: Backend, deleted: File) -> None:
    assert restore(backend, deleted.id) is None
    assert backend.read(deleted.key) == b"hello"
    assert backend.file(deleted.id).state == "stored"


@pytest.mark.parametrize("deleted", ["version"], indirect=True)
def test_a_marker_that_an_earlier_try_has_removed_is_no_conflict(backend: Backend, deleted: File) -> None:
    backend.s3.delete_object(Bucket=BUCKET, Key=deleted.key, VersionId="null")
    assert restore(backend, deleted.id) is None
    assert backend.file(deleted.id).state == "stored"


def test_what_nobody_has_replaced_is_purged(backend: Backend, deleted: File) -> None:
    trash.purge(backend.context(), deleted.id)
    assert ids(backend, deleted.key) == {}
    assert backend.file(deleted.id).state == "deleted"
