"""The deletion of a folder as a job."""

from datetime import timedelta

import pytest

from chalicelib import runtime
from chalicelib.catalog.commands import DeleteFolder
from chalicelib.services.accounts.principals import DEMO_USER_ID
from chalicelib.services.jobs import sweep
from chalicelib.services.jobs.queue import create_job
from tests.support.backend import BUCKET, Backend


def test_a_folder_of_more_files_than_one_step_takes_is_deleted(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [backend.store_file() for _ in range(5)]
    monkeypatch.setattr(sweep, "_DELETED_AT_ONCE", 2)
    until = runtime.now() + timedelta(seconds=1)
    with backend.context().transaction() as tx:
        job = create_job(tx, DeleteFolder(BUCKET, f"{DEMO_USER_ID}/", until))

    ended = backend.run(job.id)
    assert (ended.state, ended.progress["done"]) == ("done", 5)
    assert {backend.file(file_id).state for file_id in files} == {"deleted"}
