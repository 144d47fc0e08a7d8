"""S3 does what it is asked for, and its answer is lost. Botocore asks again by itself, and S3 refuses what it has done."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from chalicelib.catalog.changes import CheckRequest
from chalicelib.catalog.notifications import parse_message
from chalicelib.catalog.objects import EVERYTHING
from chalicelib.errors import StoreUnavailable
from chalicelib.services.ingest.inspection import inspect_due
from chalicelib.services.ingest.recording import record_events
from chalicelib.services.jobs.copy import begin_copy
from chalicelib.services.jobs.queue import cancel_job
from chalicelib.services.jobs.restore import begin_restore
from chalicelib.services.removal import bulk
from chalicelib.services.uploads.reservations import Description
from chalicelib.services.uploads.through_api import IncomingFile, upload_files
from chalicelib.store.client import ObjectStore
from tests.support.backend import BUCKET, DEMO, Backend
from tests.support.losing_store import LosingStore
from tests.support.notifications import body, put_of, s3_record


@pytest.fixture
def losing(backend: Backend) -> Iterator[LosingStore]:
    """The way to the backend's store."""
    with LosingStore(backend.s3.meta.endpoint_url).running() as store:
        backend.store = ObjectStore.connect("us-east-1", store.url, None, lambda: EVERYTHING)
        yield store


def begin(backend: Backend, file_id: UUID) -> tuple[UUID, UUID]:
    """Begin to copy a file; says the job's id and the new file's."""
    job, command = begin_copy(backend.context(), file_id, {})
    return job.id, command.file_id


def test_a_copy_whose_answer_is_lost_is_the_job_s_own(backend: Backend, losing: LosingStore) -> None:
    job_id, copy_id = begin(backend, backend.store_file())
    losing.lose("PUT")
    backend.run(job_id)
    assert losing.lost != []
    job = backend.run(job_id, minutes=5)  # unless it was done at once
    assert (job.state, job.problem) == ("done", None)
    copy = backend.file(copy_id)
    assert (copy.state, copy.owner_id) == ("stored", DEMO.user_id)
    assert len(backend.s3.list_object_versions(Bucket=BUCKET, Prefix=copy.key)["Versions"]) == 1


def test_a_copy_that_is_cancelled_when_its_object_is_there_belongs_to_its_owner(
    backend: Backend, losing: LosingStore
) -> None:
    job_id, copy_id = begin(backend, backend.store_file())
    losing.lose("PUT")
    backend.run(job_id)
    with backend.context().transaction() as tx:
        cancel_job(tx, job_id)
    backend.run(job_id, minutes=5)
    assert (backend.file(copy_id).state, backend.file(copy_id).owner_id) == ("stored", DEMO.user_id)


def test_a_restore_whose_answer_is_lost_is_done(backend: Backend, losing: LosingStore) -> None:
    file_id = backend.store_file(b"first")
    first = backend.file(file_id)
    later = backend.s3.put_object(Bucket=BUCKET, Key=first.key, Body=b"second")
    told = s3_record("ObjectCreated:Put", first.key, bucket=BUCKET, sequencer="0B", version_id=later["VersionId"], size=6,
                     etag=later["ETag"].strip('"'))  # fmt: skip
    record(backend, told)
    with backend.context().transaction() as tx:
        job, _ = begin_restore(tx, file_id, first.version_id or "")
    losing.lose("PUT")
    backend.run(job.id)
    done = backend.run(job.id, minutes=5)
    assert (done.state, done.problem) == ("done", None)
    assert backend.read(first.key) == b"first"
    assert backend.file(file_id).etag == first.etag
    assert len(backend.s3.list_object_versions(Bucket=BUCKET, Prefix=first.key)["Versions"]) == 3


def test_files_that_a_lost_answer_told_of_are_deleted(backend: Backend, losing: LosingStore) -> None:
    """The event of the first time is recorded before S3 is asked again."""
    file = backend.file(backend.store_file())
    asked: list[Any] = []

    def record_between(response: Any, **_: Any) -> None:
        if response is None and not asked:
            (marker,) = backend.s3.list_object_versions(Bucket=BUCKET, Prefix=file.key)["DeleteMarkers"]
            told = s3_record("ObjectRemoved:DeleteMarkerCreated", file.key, bucket=BUCKET, sequencer="0F",
                             version_id=marker["VersionId"])  # fmt: skip
            record(backend, told)
            asked.append(told)

    backend.store._client.meta.events.register("needs-retry.s3.DeleteObjects", record_between)
    losing.lose("POST")
    (outcome,) = bulk.delete_files(backend.context(), [file.id])
    assert asked != []
    assert outcome.error is None
    assert backend.file(file.id).state == "deleted"


def test_an_upload_whose_answer_is_lost_before_s3_is_gone_waits_for_its_event(
    backend: Backend, losing: LosingStore
) -> None:
    losing.lose("PUT", then_shut=True)
    with pytest.raises(StoreUnavailable):
        upload_files(backend.context(), [IncomingFile("a.txt", "text/plain", b"hello")], Description())
    assert_owned(backend, losing.lost[0])


def test_an_upload_that_s3_took_twice_keeps_its_row_when_it_is_taken_back(
    backend: Backend, losing: LosingStore
) -> None:
    """Another file of the same request fails. The version of the second time is deleted, and that of the first one shows."""
    losing.refused = "refused.txt"
    losing.lose("PUT")
    incoming = [IncomingFile(name, "text/plain", b"hello") for name in ("a.txt", "refused.txt")]
    with pytest.raises(StoreUnavailable):
        upload_files(backend.context(), incoming, Description())
    backend.take_back()
    assert_owned(backend, losing.lost[0])


def test_an_inspection_whose_answer_breaks_off_is_tried_again(backend: Backend, losing: LosingStore) -> None:
    file_id = backend.store_file(b"%PDF-1.7 and more")
    losing.break_off()
    (finding,) = inspect_due(backend.context(), 10)
    assert finding.retry_at is not None
    inspect_due(backend.context(hours=1), 10)
    assert backend.file(file_id).detected_media_type == "application/pdf"


def test_a_listing_whose_answers_are_all_lost_is_no_sign_of_a_store_without_versions(
    backend: Backend, losing: LosingStore
) -> None:
    losing.lose("GET", times=100)
    with pytest.raises(StoreUnavailable):
        backend.store.versions.of_key(BUCKET, "key")


def assert_owned(backend: Backend, put: str) -> None:
    """Record the event of the object that a PUT has made: the file is its owner's."""
    key = put.split("?")[0].split(f"/{BUCKET}/")[1]
    (stored,) = backend.s3.list_object_versions(Bucket=BUCKET, Prefix=key)["Versions"]
    told = {
        "bucket": BUCKET,
        "key": key,
        "version_id": stored["VersionId"],
        "size": 5,
        "etag": stored["ETag"].strip('"'),
    }
    record(backend, put_of(told))
    file_id = UUID(key.split("/")[1])
    assert (backend.file(file_id).state, backend.file(file_id).owner_id) == ("stored", DEMO.user_id)


def record(backend: Backend, told: dict[str, Any]) -> None:
    """Record an event as the function does."""
    with backend.context().transaction() as tx:
        record_events(tx, [event for event in parse_message(body(told)) if not isinstance(event, CheckRequest)])
