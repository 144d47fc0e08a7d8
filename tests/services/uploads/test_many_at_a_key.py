"""A link to begin an upload in parts can be used any number of times. What comes of it keeps nobody waiting."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.errors import AgainstPolicy
from chalicelib.services.removal.deletion import delete_file
from chalicelib.services.removal.trash import delete_expired
from chalicelib.services.upkeep.judging import judge_uploads
from chalicelib.services.upkeep.measuring import measure_unfinished
from chalicelib.services.upkeep.reaping import reap_uploads
from chalicelib.services.uploads import uppy
from chalicelib.services.uploads.direct import PlannedUpload
from chalicelib.services.uploads.reservations import UploadRequest
from chalicelib.services.uploads.uppy import RequestToSign, UploadKey
from tests.support.backend import BUCKET, Backend

MANY, AT_ONCE = 45, 20


@pytest.fixture(autouse=True)
def nothing_unfinished(backend: Backend) -> Iterator[None]:
    yield
    for upload in backend.unfinished_uploads():
        backend.s3.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])


def begin_many(backend: Backend, size: int | None = None, count: int = MANY) -> tuple[PlannedUpload, list[str]]:
    """Announce a file of a key that the client proposes, and begin ``count`` uploads to the file's key; says their ids."""
    begun = backend.begin(method="multipart", client_key="proposed", size=size)
    assert begun.plan is not None
    more = [backend.store.multipart.create(BUCKET, begun.file.key, None) for _ in range(count - 1)]
    return begun, [str(begun.plan.upload_id), *more]


def sign_part(backend: Backend, key: str, upload_id: str, method: str = "PUT") -> None:
    part = 1 if method == "PUT" else None
    upload = UploadRequest(name="a", method="multipart")
    uppy.sign(backend.context(), RequestToSign(method, key, upload, upload_id, part))  # type: ignore[arg-type]


def rests(backend: Backend) -> int:
    return len(backend.unfinished_uploads())


def test_a_file_with_too_many_uploads_is_given_up_and_they_are_aborted_by_and_by(backend: Backend) -> None:
    backend.limit(max_bytes=10**9)
    begun, ids = begin_many(backend)

    with pytest.raises(AgainstPolicy, match="20 multipart uploads"):
        sign_part(backend, begun.file.key, ids[0])
    assert backend.measure() == [begun.file.id]
    file = backend.file(begun)
    assert (file.state, rests(backend)) == ("deleted", MANY - AT_ONCE)
    assert "20 multipart uploads" in str(file.upload and file.upload.problem)

    left = []
    for minute in range(1, 5):
        backend.reap(hours=minute / 30)
        left.append(rests(backend))
    assert left == [6, 0, 0, 0]  # the one whose parts were signed has a place each time, also when it is gone
    assert backend.reap(hours=9).abandoned == 0


def test_as_many_uploads_as_are_measured_count_with_their_parts(backend: Backend) -> None:
    backend.limit(max_bytes=100)
    begun, ids = begin_many(backend, count=AT_ONCE)
    for upload_id in ids:
        backend.store.multipart.put_part(BUCKET, begun.file.key, upload_id, 1, b"12345")

    assert backend.measure() == []
    assert backend.file(begun).state == "pending"
    backend.store.multipart.put_part(BUCKET, begun.file.key, ids[-1], 1, b"123456")
    assert backend.measure() == [begun.file.id]
    assert rests(backend) == 0


def test_uploads_to_longer_keys_are_none_of_the_file(backend: Backend) -> None:
    backend.limit(max_bytes=10**9)
    begun, ids = begin_many(backend, count=2)
    for _ in range(MANY):
        backend.store.multipart.create(BUCKET, f"{begun.file.key}.more", None)

    assert set(backend.store.multipart.list_ids(BUCKET, begun.file.key)) == set(ids)
    assert backend.measure() == []


@pytest.mark.parametrize("verb", ["PUT", "POST"])
def test_parts_of_a_further_upload_of_an_announced_size_are_not_signed_if_there_are_too_many(
    backend: Backend, verb: str
) -> None:
    begun, ids = begin_many(backend, size=5)
    sign_part(backend, begun.file.key, ids[1])  # no policy limits bytes

    backend.limit(max_bytes=10**9)
    for _ in range(2):  # the refusal has noted nothing
        with pytest.raises(AgainstPolicy):
            sign_part(backend, begun.file.key, ids[2], verb)
    with pytest.raises(AgainstPolicy):
        sign_part(backend, begun.file.key, ids[2])
    sign_part(backend, begun.file.key, ids[1])


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
def test_whoever_lists_or_aborts_one_of_too_many_gets_no_part_signed_for_it(backend: Backend, verb: str) -> None:
    begun, ids = begin_many(backend, size=5)
    backend.limit(max_bytes=10**9)
    sign_part(backend, begun.file.key, ids[2], verb)
    with pytest.raises(AgainstPolicy):
        sign_part(backend, begun.file.key, ids[2])


def test_the_upload_whose_parts_were_signed_is_aborted_first(backend: Backend) -> None:
    begun, ids = begin_many(backend, size=5)
    with runtime.transaction() as session:  # as with a link to begin an upload: nobody knows of one yet
        session.execute(text("UPDATE uploads SET multipart_id = NULL WHERE file_id = :id"), {"id": begun.file.id})
    sign_part(backend, begun.file.key, ids[-1])
    backend.store.multipart.put_part(BUCKET, begun.file.key, ids[-1], 1, b"12345")
    backend.limit(max_bytes=10**9)

    assert backend.measure() == [begun.file.id]
    assert ids[-1] not in [upload["UploadId"] for upload in backend.unfinished_uploads()]


@pytest.mark.parametrize("how", ["deletes", "aborts", "lets its time go by"])
def test_who_ends_an_upload_waits_for_some_and_the_clock_does_the_rest(backend: Backend, how: str) -> None:
    begun, ids = begin_many(backend)
    if how == "deletes":
        delete_file(backend.context(), begun.file.id)
    elif how == "aborts":
        uppy.abort(backend.context(), UploadKey(begun.file.key, ids[0]))
    else:
        backend.reap(hours=1.1)
    assert (backend.file(begun).state, rests(backend)) == ("deleted", MANY - AT_ONCE)

    for minute in range(1, 4):
        backend.reap(hours=2 + minute / 30)
    assert rests(backend) == 0


def test_uploads_to_the_key_of_a_stored_file_are_aborted_by_and_by(backend: Backend) -> None:
    begun, ids = begin_many(backend, size=5)
    part = backend.store.multipart.put_part(BUCKET, begun.file.key, ids[0], 1, b"12345")
    backend.store.multipart.complete(BUCKET, begun.file.key, ids[0], [part])
    backend.complete(begun)

    left = []
    for _ in range(3):
        backend.measure()
        left.append(rests(backend))
    assert left == [24, 4, 0]
    assert backend.file(begun).state == "stored"


# --- time


def begin_due(backend: Backend, task: str) -> None:
    """Give a task of the clock's three files to work on."""
    backend.limit(max_bytes=10**9, max_file_bytes=10)
    for _ in range(3):
        if task == "judge":
            backend.arrive(b"12345")
        else:
            begun = backend.begin(method="multipart")
            assert begun.plan is not None
            backend.store.multipart.put_part(BUCKET, begun.file.key, str(begun.plan.upload_id), 1, bytes(5))
    if task == "expire":
        _expire_all()
    backend.limit(max_file_bytes=1)


def _expire_all() -> None:
    with runtime.transaction() as session:
        session.execute(text("UPDATE files SET expires_at = now() - interval '1 hour'"))


@pytest.mark.parametrize("task", ["judge", "measure", "reap", "expire"])
def test_a_task_of_the_clock_leaves_what_it_has_no_time_for_to_its_next_run(backend: Backend, task: str) -> None:
    begin_due(backend, task)
    now, slow = runtime.now() + timedelta(hours=2 if task == "reap" else 0), backend.context()

    def clock() -> datetime:  # each look at the time, and there is one after each file, comes a minute later
        nonlocal now
        now += timedelta(minutes=1)
        return now

    run = {
        "judge": lambda ctx: len(judge_uploads(ctx, 100)),
        "measure": lambda ctx: len(measure_unfinished(ctx, 100)),
        "reap": lambda ctx: reap_uploads(ctx, 100).abandoned,
        "expire": lambda ctx: delete_expired(ctx, 100),
    }[task]
    assert [run(replace(slow, clock=clock)) for _ in range(4)] == [1, 1, 1, 0]
