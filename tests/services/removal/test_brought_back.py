"""Purges of files that another client has brought back in S3, of which the catalogue doesn't know yet."""

from typing import Any

import pytest

from chalicelib import runtime
from chalicelib.catalog.commands import EmptyTrash
from chalicelib.errors import Conflict
from chalicelib.services.jobs import sweep
from chalicelib.services.jobs.queue import create_job
from chalicelib.services.removal import trash
from chalicelib.services.removal.deletion import delete_file
from chalicelib.services.truth.healing import heal
from tests.support.backend import BUCKET, Backend


def bring_back(backend: Backend, key: str, how: str) -> None:
    if how == "put again":
        backend.s3.put_object(Bucket=BUCKET, Key=key, Body=b"again")
        return
    (marker,) = backend.s3.list_object_versions(Bucket=BUCKET, Prefix=key)["DeleteMarkers"]
    backend.s3.delete_object(Bucket=BUCKET, Key=key, VersionId=marker["VersionId"])


@pytest.mark.parametrize("how", ["undeleted", "put again"])
def test_a_purge_leaves_a_file_that_s3_shows(backend: Backend, how: str) -> None:
    file = backend.file(backend.store_file())
    delete_file(backend.context(), file.id)
    bring_back(backend, file.key, how)

    with pytest.raises(Conflict, match="brought the file's object back"):
        trash.purge(backend.context(), file.id)
    assert backend.file(file.id).state == "stored"
    assert backend.read(file.key) == (b"again" if how == "put again" else b"hello")
    listed = backend.s3.list_object_versions(Bucket=BUCKET, Prefix=file.key)["Versions"]
    assert file.version_id in [version["VersionId"] for version in listed]
    trash.purge(backend.context(), file.id)  # it is none of the trash by now
    assert backend.file(file.id).state == "stored"


def test_what_was_deleted_again_since_is_not_purged(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an earlier file of the same trash is."""
    first, second = sorted(backend.store_file() for _ in range(2))
    for file_id in (first, second):
        delete_file(backend.context(), file_id)
    with backend.context(hours=1).transaction() as tx:
        job = create_job(tx, EmptyTrash(tx.now, everyones=False))
    key, purge = backend.file(second).key, sweep.purge

    def put_then_purge(ctx: Any, file_id: Any, *others: Any) -> None:
        if file_id == first:
            later = backend.context(hours=2)
            backend.s3.put_object(Bucket=BUCKET, Key=key, Body=b"newer")
            heal(later, [backend.file(second).location])
            delete_file(later, second)
        purge(ctx, file_id, *others)

    monkeypatch.setattr(sweep, "purge", put_then_purge)
    assert backend.run(job.id, minutes=61).state == "done"
    with runtime.transaction() as session:
        assert trash.trash.files_in_trash(
            session, backend.context().principal.scope, runtime.now().replace(year=2099), None, 9
        )
    assert len(backend.s3.list_object_versions(Bucket=BUCKET, Prefix=key)["Versions"]) == 2
    assert "Versions" not in backend.s3.list_object_versions(Bucket=BUCKET, Prefix=backend.file(first).key)
