"""Deleting many files by one request to S3, which may refuse some."""

import pytest

from chalicelib import runtime
from chalicelib.errors import NotFound, StoreUnavailable
from chalicelib.ids import uuid7
from chalicelib.services.removal import bulk
from tests.support.backend import Backend, store_away


@pytest.mark.parametrize("word", ["PreconditionFailed", "NoSuchKey", "ConditionalRequestConflict"])
def test_a_file_that_the_bulk_request_does_not_delete_is_deleted_by_itself(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    file_id = backend.store_file()
    monkeypatch.setattr(backend.store.deleter, "delete_many", lambda _bucket, names, _etags: [word] * len(names))

    outcomes = bulk.delete_files(backend.context(), [file_id])
    assert [outcome.error for outcome in outcomes] == [None]
    assert backend.file(file_id).state == "deleted"


def test_each_deletion_fails_by_itself_while_s3_does_not_answer(backend: Backend) -> None:
    begun = backend.begin(size=200_000_000)
    ids = [begun.file.id, uuid7(runtime.now())]

    working, backend.store = backend.store, store_away()
    outcomes = bulk.delete_files(backend.context(), ids)
    assert [type(outcome.error) for outcome in outcomes] == [StoreUnavailable, NotFound]
    assert backend.file(begun).state == "pending"

    backend.store = working
    outcomes = bulk.delete_files(backend.context(), ids[:1])
    assert [outcome.error for outcome in outcomes] == [None]
