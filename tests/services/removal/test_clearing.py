"""What the schedule removes: files whose time is up, and old trash."""

from typing import Any

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.errors import StoreUnavailable
from chalicelib.services.removal import trash
from chalicelib.services.removal.deletion import delete_found
from tests.support.backend import BUCKET, OPTIONS, Backend


def test_old_trash_is_purged_and_young_trash_is_kept(backend: Backend) -> None:
    file_id = backend.store_file()
    delete_found(backend.context(), file_id)
    settings = OPTIONS.model_copy(update={"trash_days": 7})

    for days, purged in ((6, 0), (8, 1), (9, 0)):
        assert trash.purge_old(backend.context(hours=24 * days, settings=settings), 100) == purged

    assert "Versions" not in backend.s3.list_object_versions(Bucket=BUCKET, Prefix=backend.file(file_id).key)


def test_an_expired_file_that_cannot_be_deleted_does_not_delay_others(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [backend.store_file(bytes(number)) for number in range(3)]
    with runtime.transaction() as session:
        session.execute(text("UPDATE files SET expires_at = now() - interval '1 second'"))
    delete, refused = backend.store.deleter.delete_if, backend.file(files[0]).key

    def delete_but_one(bucket: str, key: str, *rest: Any) -> Any:
        if key == refused:
            raise StoreUnavailable("No.")
        return delete(bucket, key, *rest)

    monkeypatch.setattr(backend.store.deleter, "delete_if", delete_but_one)

    assert trash.delete_expired(backend.context(), 100) == 2
    assert trash.delete_expired(backend.context(), 100) == 0
    assert [backend.file(file_id).state for file_id in files] == ["stored", "deleted", "deleted"]
