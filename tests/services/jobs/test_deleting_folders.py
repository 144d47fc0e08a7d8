"""The deletion of a folder as a job."""

from datetime import timedelta

import pytest

from chalicelib import runtime
from chalicelib.services import folders, jobs
from chalicelib.services.principals import DEMO_USER_ID
from tests.support.backend import BUCKET, DEMO, Backend


def test_a_folder_of_more_files_than_one_step_takes_is_deleted(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [backend.store_file() for _ in range(5)]
    monkeypatch.setattr(folders, "_BATCH", 2)
    until = (runtime.now() + timedelta(seconds=1)).isoformat()
    command = {"bucket": BUCKET, "prefix": f"{DEMO_USER_ID}/", "until": until}
    with runtime.transaction() as session:
        job = jobs.create_job(session, DEMO, "delete_folder", command, runtime.now())

    ended = backend.run(job.id)
    assert (ended.state, ended.progress["done"]) == ("done", 5)
    assert {backend.file(file_id)["state"] for file_id in files} == {"deleted"}
