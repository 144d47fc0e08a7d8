"""An upload of several files through the API that fails between two of them."""

from typing import Any

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.errors import StoreUnavailable
from chalicelib.services.uploads.reservations import Description
from chalicelib.services.uploads.through_api import IncomingFile, upload_files
from tests.support.aws import make_bucket
from tests.support.backend import OPTIONS, Backend


def test_an_upload_that_fails_half_way_removes_what_s3_took(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    make_bucket(backend.s3, "half-way", versioned=True)
    put = backend.store.put

    def put_but_one(bucket: str, key: str, body: bytes, *rest: Any) -> Any:
        if body == b"fails":
            raise StoreUnavailable("No.")
        return put(bucket, key, body, *rest)

    monkeypatch.setattr(backend.store, "put", put_but_one)
    files = [IncomingFile("x", "text/plain", body) for body in (b"1", b"2", b"3", b"fails", b"4")]
    settings = OPTIONS.model_copy(update={"bucket": "half-way"})

    with pytest.raises(StoreUnavailable):
        upload_files(backend.context(settings=settings), files, Description())
    # Several are put at once, so that the last one may have been taken before the other failed.
    assert len(backend.s3.list_object_versions(Bucket="half-way")["Versions"]) in (3, 4)
    backend.take_back()

    listed = backend.s3.list_object_versions(Bucket="half-way")
    assert "Versions" not in listed
    assert "DeleteMarkers" not in listed
    with runtime.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM files WHERE bucket = 'half-way'")) == 0
