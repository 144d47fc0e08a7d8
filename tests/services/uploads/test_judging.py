"""What policies and quotas do to uploads that have come."""

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.catalog.notifications import parse_message
from chalicelib.db.inspection_queue import MAX_TRIES
from chalicelib.services.ingest.inspection import inspect_again, inspect_due
from chalicelib.services.ingest.recording import record_events
from chalicelib.services.upkeep.judging import judge_uploads
from tests.support.backend import BUCKET, OPTIONS, Backend, store_away
from tests.support.notifications import body, s3_record

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(200)


@pytest.mark.parametrize("refuses", [True, False])
def test_bytes_of_another_type_than_declared_are_flagged_and_refused_by_policy(backend: Backend, refuses: bool) -> None:
    backend.limit(refuse_mismatch=refuses)
    begun = backend.arrive(PDF, size=len(PDF), media_type="image/png")
    file = backend.file(begun)
    assert (file.media_type, file.is_mismatch) == ("image/png", True)
    assert file.detected_media_type not in (None, "image/png")

    refused = backend.judge()
    assert [file_id for file_id, _ in refused] == ([begun.file.id] if refuses else [])
    assert backend.file(begun).state == ("deleted" if refuses else "stored")
    if refuses:
        assert "declared to be image/png" in str(backend.file(begun).upload)

    assert backend.judge() == []


def test_a_policy_that_reads_bytes_waits_for_the_inspection(backend: Backend) -> None:
    """An upload that was not inspected is neither passed nor refused. It is kept until it is inspected after all."""
    backend.limit(refuse_mismatch=True)
    begun = backend.begin(size=len(PDF), media_type="image/png")
    backend.put(begun, PDF, ContentType="image/png")
    file_id = backend.complete(begun)
    with runtime.transaction() as session:
        give_up = "UPDATE object_versions SET inspect_after = NULL, inspect_tries = 8, inspect_problem = 'Down.'"
        session.execute(text(give_up))

    assert backend.judge() == []
    backend.reap(hours=3)
    assert backend.file(begun).state == "stored"

    inspect_again(backend.context(), file_id)
    assert [refused for refused, _ in backend.judge()] == [file_id]


def test_an_announced_type_stays_while_the_object_cannot_be_read(backend: Backend) -> None:
    """Only an event has told of it, and events know no types. S3 has taken it with the announced one and no other."""
    begun = backend.begin(size=len(PDF), media_type="image/png")
    backend.put(begun, PDF, ContentType="image/png")
    head = backend.s3.head_object(Bucket=BUCKET, Key=begun.file.key)
    told = {"version_id": head["VersionId"], "size": len(PDF), "etag": head["ETag"].strip('"')}
    event = s3_record("ObjectCreated:Put", begun.file.key, bucket=BUCKET, sequencer="0A", **told)
    with backend.context().transaction() as tx:
        record_events(tx, list(parse_message(body(event))))
    assert (backend.file(begun).state, backend.file(begun).media_type) == ("stored", "image/png")
    updated_at = backend.file(begun).updated_at

    working, backend.store = backend.store, store_away()
    for number in range(MAX_TRIES + 1):
        inspect_due(backend.context(hours=24 * number), 100)
    assert (backend.file(begun).media_type, backend.file(begun).updated_at) == ("image/png", updated_at)

    backend.store = working
    only_images = backend.context(hours=24 * 10, settings=OPTIONS.model_copy(update={"media_types": ("image/*",)}))
    assert judge_uploads(only_images, 100) == []
    assert backend.read(begun.file.key) == PDF


def test_the_newest_upload_of_unannounced_size_that_exceeds_the_quota_is_refused(backend: Backend) -> None:
    backend.limit(max_bytes=12)
    begun = [backend.arrive(bytes(5)) for _ in range(3)]

    assert [file_id for file_id, _ in backend.judge()] == [begun[2].file.id]
    assert [backend.file(one).state for one in begun] == ["stored", "stored", "deleted"]


def test_a_refusal_that_s3_does_not_carry_out_is_tried_again(backend: Backend) -> None:
    backend.limit(max_file_bytes=3)
    begun = backend.arrive(bytes(5))

    working, backend.store = backend.store, store_away()
    assert backend.judge() == []

    backend.store = working
    assert len(backend.judge()) == 1
    assert backend.file(begun).state == "deleted"
