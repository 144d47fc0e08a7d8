"""Moves as jobs: what they survive, what they leave to others, and how they copy what is large."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.store import copying_in_parts
from tests.support.backend import BUCKET, Backend, store_away
from tests.support.dying import Died, die


@pytest.mark.parametrize("dies_at", ["copy", "head", "delete_if", "nowhere"])
def test_a_move_that_dies_anywhere_is_finished_by_the_schedule(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    file_id, key = backend.store_file(), f"moved/{uuid4()}"
    before = backend.file(file_id)
    job = backend.begin_move(file_id, key)

    if dies_at != "nowhere":
        with monkeypatch.context() as patch:
            where = {"copy": backend.store.copier, "delete_if": backend.store.deleter}.get(dies_at, backend.store)
            patch.setattr(where, dies_at, die)
            with pytest.raises(Died):
                backend.run(job.id)
            assert backend.run(job.id).state == "running"  # somebody else holds it
            assert backend.file(file_id).key == (key if dies_at == "delete_if" else before.key)

    assert backend.run(job.id, minutes=4).state == "done"
    after = backend.file(file_id)
    assert (after.id, after.created_at) == (before.id, before.created_at)
    assert (after.key, after.state) == (key, "stored")
    assert backend.s3.list_objects_v2(Bucket=BUCKET, Prefix=before.key)["KeyCount"] == 0
    assert backend.read(key) == b"hello"


def test_an_object_put_at_the_old_key_during_a_move_stays(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    file_id, key = backend.store_file(), f"moved/{uuid4()}"
    old = backend.file(file_id).key
    job = backend.begin_move(file_id, key)
    delete_if = backend.store.deleter.delete_if

    def put_first(*arguments: Any) -> Any:
        backend.s3.put_object(Bucket=BUCKET, Key=old, Body=b"somebody else's")
        return delete_if(*arguments)

    monkeypatch.setattr(backend.store.deleter, "delete_if", put_first)

    assert backend.run(job.id).state == "done"
    assert backend.read(old) == b"somebody else's"
    assert backend.file(file_id).key == key


def test_a_move_fails_after_five_tries_without_s3_and_frees_its_new_key(backend: Backend) -> None:
    file_id, key = backend.store_file(), f"moved/{uuid4()}"
    job = backend.begin_move(file_id, key)
    backend.store = store_away()

    states = [backend.run(job.id, minutes=20 * number).state for number in range(5)]
    assert states == ["queued"] * 4 + ["failed"]
    assert backend.file(file_id).state == "stored"
    with runtime.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM files WHERE key = :key"), {"key": key}) == 0


def test_a_move_whose_process_dies_each_time_is_given_up_and_frees_its_new_key(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id, key = backend.store_file(), f"moved/{uuid4()}"
    job = backend.begin_move(file_id, key)
    monkeypatch.setattr(backend.store.copier, "copy", die)

    for number in range(5):
        with pytest.raises(Died):
            backend.run(job.id, minutes=4 * number)
    ended = backend.run(job.id, minutes=20)
    assert (ended.state, ended.problem) == (
        "failed",
        "It was begun 5 times in a row, and failed or its process ended each time before it was done.",
    )
    with runtime.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM files WHERE key = :key"), {"key": key}) == 0


def test_a_move_that_has_its_new_key_is_never_given_up(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    file_id, key = backend.store_file(), f"moved/{uuid4()}"
    job = backend.begin_move(file_id, key)
    with monkeypatch.context() as patch:
        patch.setattr(backend.store.deleter, "delete_if", die)
        for number in range(6):
            with pytest.raises(Died):
                backend.run(job.id, minutes=4 * number)

    assert backend.run(job.id, minutes=24).state == "done"


def test_an_object_too_large_for_one_request_is_copied_in_parts(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying_in_parts, "_PART_BYTES", 6 * 1024 * 1024)
    monkeypatch.setattr(copying_in_parts, "part_size", lambda _: 0)
    body = bytes(range(256)) * 60_000
    file_id, key = backend.store_file(body), f"moved/{uuid4()}"
    job = backend.begin_move(file_id, key)

    assert backend.run(job.id).state == "done"
    assert backend.s3.head_object(Bucket=BUCKET, Key=key)["ETag"].endswith('-3"')
    assert backend.read(key) == body
    assert backend.file(file_id).size == len(body)


def test_a_copy_in_parts_that_fails_leaves_no_part(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying_in_parts, "_PART_BYTES", 10)
    monkeypatch.setattr(copying_in_parts.PartCopier, "_copy_part", lambda *_: 1 / 0)
    file_id, key = backend.store_file(bytes(100)), f"moved/{uuid4()}"
    job = backend.begin_move(file_id, key)

    ended = backend.run(job.id)
    assert (ended.state, backend.unfinished_uploads()) == ("failed", [])
    assert "on our side" in ended.problem
    assert backend.file(file_id).key != key
