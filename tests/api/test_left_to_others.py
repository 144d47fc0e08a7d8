"""What requests leave to others, because the role of the API removes no version: answers that wait, and answers that can't."""

import threading

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
