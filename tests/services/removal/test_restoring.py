"""Restoring files of which the catalogue doesn't know yet that they are deleted, and deleting such as are restored."""

import pytest
from botocore.exceptions import ClientError

from chalicelib.catalog.changes import CheckRequest
from chalicelib.catalog.notifications import parse_message
from chalicelib.errors import StoreUnavailable
from chalicelib.services.ingest.recording import record_events
from chalicelib.services.jobs.undelete import begin_undelete
from chalicelib.services.removal import bulk, trash
from chalicelib.services.removal.deletion import delete_file
from tests.support.backend import BUCKET, OPTIONS, Backend, store_away
from tests.support.notifications import body, s3_record


def test_a_restore_undoes_a_deletion_that_is_not_recorded_yet(backend: Backend) -> None:
    """Its owner deleted it and got no answer, because the database was away. Then its owner restored it."""
    file = backend.file(backend.store_file())
    marker = backend.s3.delete_object(Bucket=BUCKET, Key=file.key)["VersionId"]

    (outcome,) = begin_undelete(backend.context(), [file.id])
    assert outcome.error is None
    assert outcome.job_id is not None
    assert backend.run(outcome.job_id).state == "done"
    assert backend.read(file.key) == b"hello"

    late = s3_record("ObjectRemoved:DeleteMarkerCreated", file.key, bucket=BUCKET, sequencer="0F", version_id=marker)
    with backend.context().transaction() as tx:
        record_events(tx, [event for event in parse_message(body(late)) if not isinstance(event, CheckRequest)])
    assert backend.file(file.id).state == "stored"


def test_a_file_is_not_called_stored_while_s3_does_not_answer(backend: Backend) -> None:
    file_id = backend.store_file()
    backend.store = store_away()
    (outcome,) = begin_undelete(backend.context(), [file_id])
    assert isinstance(outcome.error, StoreUnavailable)
    assert backend.file(file_id).state == "stored"


@pytest.mark.parametrize("is_bulk", [False, True])
def test_a_deletion_undoes_a_restore_that_is_not_recorded_yet(backend: Backend, is_bulk: bool) -> None:
    """Its owner restored it and got no answer, because the database was away. Then its owner deleted it."""
    file = backend.file(backend.store_file())
    delete_file(backend.context(), file.id)
    (marker,) = backend.s3.list_object_versions(Bucket=BUCKET, Prefix=file.key)["DeleteMarkers"]
    backend.s3.delete_object(Bucket=BUCKET, Key=file.key, VersionId=marker["VersionId"])

    if is_bulk:
        (outcome,) = bulk.delete_files(backend.context(), [file.id])
        assert outcome.error is None
    else:
        delete_file(backend.context(), file.id)
    assert backend.file(file.id).state == "deleted"
    with pytest.raises(ClientError):
        backend.s3.head_object(Bucket=BUCKET, Key=file.key)


def test_a_file_is_not_called_gone_while_s3_does_not_answer(backend: Backend) -> None:
    file_id = backend.store_file()
    delete_file(backend.context(), file_id)
    backend.store = store_away()
    with pytest.raises(StoreUnavailable):
        delete_file(backend.context(), file_id)
    (outcome,) = bulk.delete_files(backend.context(), [file_id])
    assert isinstance(outcome.error, StoreUnavailable)


def test_a_restore_keeps_its_claim_when_the_clock_wants_to_purge_the_file(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock fails, and tries again in an hour. The restore goes on meanwhile."""
    file_id, hours = backend.store_file(), 24 * 2
    delete_file(backend.context(), file_id)
    late = backend.context(hours=hours, settings=OPTIONS.model_copy(update={"trash_days": 1}))
    (outcome,) = begin_undelete(late, [file_id])
    assert outcome.job_id is not None
    assert trash.purge_old(late, 100) == 0
    monkeypatch.setattr(trash.trash, "old_trash", lambda *_: [file_id])  # as found just before it was claimed
    assert trash.purge_old(late, 100) == 0
    assert backend.run(outcome.job_id, minutes=hours * 60).state == "done"
    assert backend.file(file_id).state == "stored"
