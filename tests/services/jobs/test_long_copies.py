"""Copies that take longer than a job's turn, or than a function may run: the next turn goes on with them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.catalog.parts import MIB
from chalicelib.db.models import Job
from chalicelib.errors import Conflict, StoreUnavailable
from chalicelib.services.jobs.copying import NotedCourse
from chalicelib.services.jobs.queue import cancel_job
from chalicelib.services.jobs.restore import begin_restore
from chalicelib.services.removal import trash
from chalicelib.store import copying_in_parts
from chalicelib.store.copying_in_parts import PartCopier
from tests.support.backend import BUCKET, OPTIONS, Backend
from tests.support.dying import Died
from tests.support.long_copies import BODY, Parts, copy, is_claimed, move, restore, turn


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying_in_parts, "_PART_BYTES", 5 * MIB)
    monkeypatch.setattr(copying_in_parts, "part_size", lambda _: 0)
    monkeypatch.setattr(copying_in_parts, "_COPIERS", 1)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    parts = Parts()
    monkeypatch.setattr(PartCopier, "_copy_part", lambda *arguments: parts.copy(*arguments))
    monkeypatch.setattr(NotedCourse, "go_on", lambda *arguments: parts.go_on(*arguments))
    return parts


Begin = Callable[[Backend], tuple[UUID, UUID]]
each = pytest.mark.parametrize("begin", [move, copy, restore])


@each
def test_a_turn_ends_amid_a_copy_and_the_next_one_goes_on(backend: Backend, parts: Parts, begin: Begin) -> None:
    job_id, file_id = begin(backend)

    states = [turn(backend, job_id).state]
    while states[-1] == "queued":
        states.append(turn(backend, job_id).state)

    # Besides the part that ends a turn, S3 may be copying another one.
    assert len(states) in (2, 3, 4)
    assert states[-1] == "done"
    assert parts.copied == [1, 2, 3, 4]
    assert backend.read(backend.file(file_id).key) == BODY
    assert backend.unfinished_uploads() == []


@each
def test_a_copy_may_die_any_number_of_times_as_long_as_it_comes_further(
    backend: Backend, parts: Parts, monkeypatch: pytest.MonkeyPatch, begin: Begin
) -> None:
    monkeypatch.setattr(copying_in_parts, "_PART_BYTES", MIB)
    job_id, file_id = begin(backend)

    for death in range(1, 7):
        parts.dies_with = len(parts.copied) + 1
        with pytest.raises(Died):
            backend.run(job_id, minutes=12 * death)
    parts.dies_with = None

    assert backend.run(job_id, minutes=200).state == "done"
    assert sorted(parts.copied) == list(range(1, 21))
    assert backend.read(backend.file(file_id).key) == BODY


@each
def test_parts_stay_while_s3_does_not_answer(backend: Backend, parts: Parts, begin: Begin) -> None:
    job_id, file_id = begin(backend)

    def fail() -> None:
        raise StoreUnavailable("No.")

    parts.instead = {3: fail}
    assert backend.run(job_id).state == "queued"
    assert is_claimed(backend, file_id) is (begin is restore), "so that nobody else aborts them"
    parts.instead = {}
    assert backend.run(job_id, minutes=5).state == "done"
    assert sorted(parts.copied) == [1, 2, 3, 4]
    assert backend.read(backend.file(file_id).key) == BODY


@each
def test_a_copy_that_is_cancelled_between_turns_leaves_no_part(backend: Backend, parts: Parts, begin: Begin) -> None:
    job_id, file_id = begin(backend)
    assert turn(backend, job_id).state == "queued"
    assert len(backend.unfinished_uploads()) == 1
    assert is_claimed(backend, file_id) is (begin is restore)

    with backend.context().transaction() as tx:
        cancel_job(tx, job_id)

    assert turn(backend, job_id).state == "cancelled"
    assert backend.unfinished_uploads() == []
    if begin is not copy:
        assert not is_claimed(backend, file_id)


@each
def test_a_copy_that_s3_gives_up_on_leaves_no_part(backend: Backend, parts: Parts, begin: Begin) -> None:
    job_id, _ = begin(backend)

    def fail() -> None:
        raise StoreUnavailable("No.")

    parts.instead = {1: fail}
    states = [backend.run(job_id, minutes=20 * number).state for number in range(5)]

    assert states == ["queued"] * 4 + ["failed"]
    assert backend.unfinished_uploads() == []


def test_the_clock_leaves_the_parts_of_a_restore_alone(backend: Backend, parts: Parts) -> None:
    """They lie at the key of an upload of which the client may have begun several, and all others are aborted."""
    begun = backend.begin(size=len(BODY), method="multipart", client_key="a", part_bytes=MIB)
    job_id, _ = restore(backend, begun)
    assert turn(backend, job_id).state == "queued"

    backend.measure()
    backend.reap(hours=0)

    assert backend.run(job_id).state == "done"
    assert parts.copied == [1, 2, 3, 4]
    assert len(backend.unfinished_uploads()) == 1
    backend.measure()
    assert backend.unfinished_uploads() == [], "once nobody claims the file"


@each
def test_a_copy_whose_parts_somebody_throws_away_begins_anew(backend: Backend, parts: Parts, begin: Begin) -> None:
    job_id, file_id = begin(backend)

    def abort() -> None:
        parts.instead = {}
        (upload,) = backend.unfinished_uploads()
        backend.store.multipart.abort(BUCKET, upload["Key"], upload["UploadId"])

    parts.instead = {3: abort}
    assert backend.run(job_id).state == "queued"
    assert backend.run(job_id, minutes=20).state == "done"
    assert parts.copied == [1, 2, 1, 2, 3, 4]
    assert backend.read(backend.file(file_id).key) == BODY


def test_a_move_of_what_is_put_again_in_each_turn_ends(backend: Backend, parts: Parts) -> None:
    job_id, file_id = move(backend)
    key = backend.file(file_id).key
    states = []
    while not states or states[-1] == "queued":
        states.append(turn(backend, job_id).state)
        put = backend.s3.put_object(Bucket=BUCKET, Key=key, Body=BODY[len(states) :])
        with runtime.transaction() as session:
            session.execute(
                text("UPDATE files SET version_id = :version_id, etag = :etag, size = :size WHERE id = :id"),
                {
                    "id": file_id,
                    "version_id": put["VersionId"],
                    "etag": put["ETag"].strip('"'),
                    "size": len(BODY) - len(states),
                },
            )
    assert states == ["queued"] * 10 + ["failed"]
    assert (backend.file(file_id).key, backend.unfinished_uploads()) == (key, [])


@each
def test_an_object_of_parts_whose_size_nobody_has_told_is_copied_whole(
    backend: Backend, parts: Parts, monkeypatch: pytest.MonkeyPatch, begin: Begin
) -> None:
    """An event need not tell it, and an inspection need not have succeeded yet."""

    def store(_: Backend, body: bytes) -> UUID:
        begun = backend.begin(size=len(body), method="multipart")
        assert begun.plan
        assert begun.plan.upload_id
        put = backend.store.multipart.put_part(BUCKET, begun.file.key, begun.plan.upload_id, 1, body)
        backend.store.multipart.complete(BUCKET, begun.file.key, begun.plan.upload_id, [put])
        backend.complete(begun)
        return begun.file.id

    monkeypatch.setattr(Backend, "store_file", store)
    job_id, file_id = begin(backend)
    with runtime.transaction() as session:
        session.execute(text("UPDATE files SET size = NULL WHERE state = 'stored'"))
        session.execute(
            text("UPDATE jobs SET command = jsonb_set(command, '{source,size}', '0') WHERE command ? 'source'")
        )
    assert backend.run(job_id).state == "done"
    assert backend.read(backend.file(file_id).key) == BODY


def test_a_copy_that_takes_longer_than_any_upload_may_is_not_given_up(backend: Backend, parts: Parts) -> None:
    job_id, file_id = copy(backend)
    for minutes in (0, 50, 100):  # an upload may take an hour
        backend.reap(hours=minutes / 60)
        turn(backend, job_id, minutes)
    backend.run(job_id, minutes=110)
    assert backend.file(file_id).state == "stored"


def test_a_second_restore_does_not_free_what_the_first_has_reserved(backend: Backend, parts: Parts) -> None:
    job_id, file_id = restore(backend)
    assert turn(backend, job_id).state == "queued"
    with runtime.transaction() as session:
        version_id = session.get_one(Job, job_id).command["source"]["version_id"]
    with backend.context().transaction() as tx, pytest.raises(Conflict, match="being restored already"):
        begin_restore(tx, file_id, version_id)
    with runtime.transaction() as session:
        reserved = session.scalar(text("SELECT restoring FROM files WHERE id = :id"), {"id": file_id})
    assert reserved == len(BODY) - 5
    assert backend.run(job_id).state == "done"


def test_of_two_restores_at_once_one_is_begun(backend: Backend) -> None:
    file = backend.file(backend.store_file())

    def begin(_: int) -> str:
        try:
            with backend.context().transaction() as tx:
                begin_restore(tx, file.id, file.version_id or "")
        except Conflict as error:
            return str(error)
        return "begun"

    with ThreadPoolExecutor(4) as pool:
        told = sorted(pool.map(begin, range(4)))
    assert told == ["The file is being restored already."] * 3 + ["begun"]


def test_nobody_purges_a_file_between_the_turns_of_its_restore(
    backend: Backend, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, file_id = restore(backend)
    assert turn(backend, job_id).state == "queued"

    late = backend.context(settings=OPTIONS.model_copy(update={"trash_days": 1}))
    monkeypatch.setattr(trash.trash, "old_trash", lambda *_: [file_id])
    trash.purge_old(late, 100)

    assert backend.run(job_id).state == "done"
    assert backend.read(backend.file(file_id).key) == BODY
