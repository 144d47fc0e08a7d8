"""Uploads whose time is up: found if their bytes are there, kept if S3 does not answer, given up otherwise."""

from typing import Any

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.services.upkeep import reaping
from chalicelib.services.upkeep.reaping import Reaped
from chalicelib.services.uploads import direct
from chalicelib.services.uploads.completion import record_if_there
from chalicelib.services.uploads.direct import PlannedUpload
from tests.support.backend import BUCKET, Backend, store_away


def multipart_target(begun: PlannedUpload) -> dict[str, str]:
    """Which upload in parts requests to S3 are about."""
    assert begun.plan is not None
    assert begun.plan.upload_id is not None
    return {"Bucket": BUCKET, "Key": begun.file.key, "UploadId": begun.plan.upload_id}


def test_an_upload_in_its_time_is_left_alone(backend: Backend) -> None:
    begun = backend.begin(size=5)

    assert backend.reap(hours=0.9) == Reaped()
    assert backend.file(begun).state == "pending"


def test_an_abandoned_upload_becomes_a_tombstone_that_says_why(backend: Backend) -> None:
    begun = backend.begin(size=5)

    assert backend.reap(hours=1.1) == Reaped(abandoned=1)
    file = backend.file(begun)
    assert file.state == "deleted"
    assert "abandoned" in str(file.upload and file.upload.problem)

    assert backend.reap(hours=9) == Reaped()


def test_an_upload_of_unannounced_size_is_abandoned_early_and_stored_if_it_comes_late(backend: Backend) -> None:
    """Uppy's: S3 may have refused it as too large, and nobody says so."""
    begun = backend.begin()

    assert backend.reap(hours=0.4) == Reaped()
    assert backend.reap(hours=0.6) == Reaped(abandoned=1)
    assert backend.file(begun).state == "deleted"

    backend.put(begun, b"late")
    record_if_there(backend.context(), begun.file.id, begun.file.location)
    assert (backend.file(begun).state, backend.file(begun).size) == ("stored", 4)


def test_an_object_whose_event_was_lost_is_found_before_it_is_reaped(backend: Backend) -> None:
    begun = backend.begin(size=5)
    backend.put(begun, b"bytes")

    assert backend.reap(hours=1.1) == Reaped(found=1)
    file = backend.file(begun)
    assert (file.state, file.size, file.upload) == ("stored", 5, None)


def test_a_multipart_upload_is_aborted_only_when_no_part_has_come_for_long(backend: Backend) -> None:
    begun = backend.begin(size=40_000_000, method="multipart")
    with runtime.transaction() as session:  # it began long ago, and its part has come just now
        session.execute(text("UPDATE uploads SET expires_at = now() - interval '1 hour'"))
    backend.s3.upload_part(**multipart_target(begun), PartNumber=1, Body=b"x")

    assert backend.reap(hours=0) == Reaped(going_on=1)
    assert backend.reap(hours=0.9) == Reaped()
    assert len(backend.unfinished_uploads()) == 1

    assert backend.reap(hours=1.1) == Reaped(abandoned=1)
    assert backend.unfinished_uploads() == []
    assert backend.file(begun).state == "deleted"


def test_a_multipart_upload_that_was_completed_without_the_api_is_found(backend: Backend) -> None:
    begun = backend.begin(size=3, method="multipart")
    target = multipart_target(begun)
    part = backend.s3.upload_part(**target, PartNumber=1, Body=b"xyz")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    backend.s3.complete_multipart_upload(**target, MultipartUpload=parts)

    assert backend.reap(hours=1.1) == Reaped(found=1)
    assert backend.file(begun).size == 3


def test_an_upload_is_kept_while_s3_does_not_answer(backend: Backend) -> None:
    begun = backend.begin(size=3)
    backend.store = store_away()

    assert backend.reap(hours=1.1) == Reaped(failed=1)
    assert backend.file(begun).state == "pending"


@pytest.mark.parametrize("moment", ["overdue_uploads", "abort_parts", "record_if_there"])
@pytest.mark.parametrize("method", ["put", "multipart"])
def test_an_upload_that_is_renewed_at_this_moment_goes_on(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, method: Any, moment: str
) -> None:
    """After the reaper has found it, before its parts are aborted, and before its file is given up."""
    begun = backend.begin(size=3, method=method)
    where: Any = reaping.due_uploads if moment == "overdue_uploads" else reaping
    usual, renewed = getattr(where, moment), []

    def renew_then(*arguments: Any) -> Any:
        found = usual(*arguments) if moment == "overdue_uploads" else None
        if not renewed:
            renewed.append(direct.renew(backend.context(hours=1.1), begun.file.id))
        return found if moment == "overdue_uploads" else usual(*arguments)

    monkeypatch.setattr(where, moment, renew_then)
    assert backend.reap(hours=1.1) == Reaped(going_on=1)
    assert (backend.file(begun).state, len(renewed)) == ("pending", 1)
    if method == "multipart" and moment == "overdue_uploads":
        assert len(backend.unfinished_uploads()) == 1
    assert backend.reap(hours=3) == Reaped(abandoned=1)


def test_one_upload_that_cannot_be_judged_does_not_keep_the_others(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = backend.begin(size=3), backend.begin(size=3)
    usual = reaping.record_if_there

    def fail_at_first(ctx: Any, file_id: Any, location: Any) -> Any:
        if file_id == first.file.id:
            raise ValueError("nobody has foreseen this")
        return usual(ctx, file_id, location)

    monkeypatch.setattr(reaping, "record_if_there", fail_at_first)
    assert backend.reap(hours=1.1) == Reaped(failed=1, abandoned=1)
    assert (backend.file(first).state, backend.file(second).state) == ("pending", "deleted")


def test_an_object_of_a_gigantic_type_is_stored_without_one(backend: Backend) -> None:
    told, found = backend.begin(), backend.begin()
    for begun in (told, found):
        backend.put(begun, b"x", ContentType="x/" + "".join(chr(33 + n * n % 90) for n in range(4000)))
    backend.complete(told)
    assert backend.reap(hours=1.1) == Reaped(found=1)
    assert [(backend.file(one).state, backend.file(one).media_type) for one in (told, found)] == [("stored", None)] * 2
