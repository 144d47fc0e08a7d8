"""What requests leave to others, because the role of the API removes no version: answers that wait, and answers that can't."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from tests.support.api import Api, assert_problem
from tests.support.files import act, detail, ended, read, upload
from tests.support.users import used
from tests.support.worker import Worker


def _deleted(owner: Api, body: bytes = b"hello") -> dict[str, str]:
    file: dict[str, str] = upload(owner, body)
    assert owner("DELETE", f"/api/files/{file['id']}").status == 204
    return file


def test_a_restore_that_takes_longer_says_so_and_is_done_later(owner: Api, job_worker: Worker) -> None:
    file = _deleted(owner)
    with job_worker.away():
        answer = owner("POST", f"/api/files/{file['id']}/restore", {})
        assert (answer.status, answer.json["state"]) == (202, "deleted")
        job = answer.json["job"]
        assert (job["kind"], job["state"]) == ("undelete", "queued")
        assert answer.headers["Location"].endswith(f"/api/jobs/{job['id']}")
        assert used(owner) == (1, 5)  # reserved already
        # It is claimed for the job.
        assert_problem(owner("POST", f"/api/files/{file['id']}/restore", {}), 409, "conflict")

    assert ended(owner, job)["state"] == "done"
    assert (detail(owner, file)["version_id"], read(owner, file)) == (file["version_id"], b"hello")
    assert used(owner) == (1, 5)


def test_a_restore_of_many_names_the_job_that_is_still_at_work(owner: Api, job_worker: Worker) -> None:
    files, there = [_deleted(owner), _deleted(owner)], upload(owner)
    wanted = {"file_ids": [*(file["id"] for file in files), there["id"]]}
    with job_worker.without_s3():
        answer = owner("POST", "/api/files/bulk-restore", wanted)
    assert answer.status == 202
    assert [result["status"] for result in answer.json["results"]] == ["in_work", "in_work", "done"]
    first, second, other = [result["job_id"] for result in answer.json["results"]]
    assert (first, other) == (second, None)
    assert "does not answer" in owner("GET", f"/api/jobs/{first}").json["problem"]

    # Whoever doesn't want it any more gets back what was reserved.
    assert owner("POST", f"/api/jobs/{first}/cancel").json["state"] == "cancelled"
    assert used(owner) == (1, 5)
    assert act(owner, files[0], "restore")["state"] == "stored"


@pytest.fixture
def full(owner: Api, engine: Engine) -> Iterator[None]:
    """As many requests of the owner's wait as may."""
    fill = text("""
        INSERT INTO waits
        SELECT gen_random_uuid(), CAST(:user AS uuid), now() + interval '1 hour' FROM generate_series(1, 10)""")
    with engine.begin() as connection:
        connection.execute(fill, {"user": owner.user_id})
    yield
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM waits WHERE user_id = CAST(:user AS uuid)"), {"user": owner.user_id})


def test_one_request_too_many_leaves_its_job_to_others_at_once_and_says_so(
    owner: Api, full: None, job_worker: Worker
) -> None:
    files = [_deleted(owner), _deleted(owner)]
    with job_worker.away():
        emptied = owner("DELETE", "/api/trash")
        many = owner("POST", "/api/files/bulk-restore", {"file_ids": [files[0]["id"]]})
        one = owner("POST", f"/api/files/{files[1]['id']}/restore", {})
        cancelled = owner("POST", f"/api/jobs/{one.json['job']['id']}/cancel")
    answers = [emptied, many, one, cancelled]
    assert [answer.status for answer in answers] == [202, 202, 202, 200]
    assert [answer.headers["X-Landfall-Wait"] for answer in answers] == ["refused"] * 4
    for job in owner.items("/api/jobs"):
        ended(owner, job)


def test_who_has_waited_for_a_job_leaves_its_place(owner: Api, engine: Engine) -> None:
    assert act(owner, _deleted(owner), "restore")["state"] == "stored"
    with engine.connect() as connection:
        count = text("SELECT count(*) FROM waits WHERE user_id = CAST(:user AS uuid)")
        assert connection.execute(count, {"user": owner.user_id}).scalar_one() == 0


def test_of_restores_at_once_one_is_done_and_none_is_lost(owner: Api, job_worker: Worker) -> None:
    files = [_deleted(owner, str(number).encode()) for number in range(3)]
    statuses: list[int] = []

    def restore() -> None:
        for file in files:
            statuses.append(owner("POST", f"/api/files/{file['id']}/restore", {}).status)

    threads = [threading.Thread(target=restore) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(statuses) <= {200, 202, 409}
    for job in owner.items("/api/jobs"):
        assert ended(owner, job)["state"] == "done"
    assert [detail(owner, file)["state"] for file in files] == ["stored"] * 3
    assert used(owner) == (3, 3)


def test_who_loses_its_key_while_it_waits_for_a_job_is_not_answered(owner: Api, job_worker: Worker) -> None:
    file = _deleted(owner)
    key = owner("POST", "/api/keys", {"name": "machine", "scopes": ["write"]}).json
    machine = Api(owner.port, owner.log, {"Authorization": f"Bearer {key['secret']}"})
    with job_worker.away(), ThreadPoolExecutor(1) as pool:
        waits = pool.submit(machine, "POST", f"/api/files/{file['id']}/restore", {})
        while not any(job["state"] == "queued" for job in owner.items("/api/jobs")):
            time.sleep(0.02)
        assert owner("DELETE", f"/api/keys/{key['id']}").status == 204
    assert_problem(waits.result(), 401, "unauthenticated")
    # What it had asked for when it still might is done.
    (job,) = owner.items("/api/jobs")
    assert ended(owner, job)["state"] == "done"
