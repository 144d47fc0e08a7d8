"""Uploads in parts are measured while they go on."""

import pytest

from chalicelib.errors import StoreUnavailable
from tests.support.backend import BUCKET, Backend


def test_an_upload_that_cannot_be_aborted_does_not_keep_others_from_being_measured(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.limit(max_bytes=1)
    begun = [backend.begin(method="multipart") for _ in range(3)]
    for one in begun:
        assert one.plan is not None
        assert one.plan.upload_id is not None
        backend.store.multipart.put_part(BUCKET, one.file.key, one.plan.upload_id, 1, b"too much")
    abort, refused = backend.store.multipart.abort, begun[0].file.key

    def abort_but_one(bucket: str, key: str, upload_id: str) -> None:
        if key == refused:
            raise StoreUnavailable("Access denied.")
        abort(bucket, key, upload_id)

    monkeypatch.setattr(backend.store.multipart, "abort", abort_but_one)
    assert set(backend.measure()) == {one.file.id for one in begun[1:]}

    monkeypatch.setattr(backend.store.multipart, "abort", abort)
    assert len(backend.measure()) == 1
