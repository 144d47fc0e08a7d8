"""Many files deleted or restored by one request, with a result for each."""

import threading
from uuid import uuid4

from tests.support.api import Api, assert_problem
from tests.support.files import detail, read, upload
from tests.support.uploads import begin
from tests.support.users import used


def test_each_file_of_a_bulk_deletion_and_restore_has_its_result(owner: Api, stranger: Api) -> None:
    files = [upload(owner, str(number).encode()) for number in range(5)]
    theirs = upload(stranger)
    unknown = str(uuid4())
    ids = [file["id"] for file in files]
    wanted = {"file_ids": [*ids[:3], unknown, theirs["id"], ids[0]]}

    results = owner("POST", "/api/files/bulk-delete", wanted).json["results"]
    assert [result["status"] for result in results] == ["done"] * 3 + ["failed"] * 2
    assert results[3]["problem"]["status"] == 404
    assert {item["id"] for item in owner("GET", "/api/files").json["items"]} == set(ids[3:])

    again = owner("POST", "/api/files/bulk-delete", {"file_ids": ids[:1]}).json["results"]
    assert again[0]["problem"]["type"] == "/problems/not-found"

    restored = owner("POST", "/api/files/bulk-restore", {"file_ids": [*ids, unknown]}).json["results"]
    assert [result["status"] for result in restored] == ["done"] * 5 + ["failed"]
    assert {item["id"] for item in owner("GET", "/api/files").json["items"]} == set(ids)
    assert all(read(owner, file) == str(number).encode() for number, file in enumerate(files))


def test_a_thousand_files_are_deleted_at_once_and_no_more(owner: Api) -> None:
    ids = [owner("POST", "/api/files", {"name": str(number)}).json["id"] for number in range(40)]
    ids += [str(uuid4()) for _ in range(960)]

    results = owner("POST", "/api/files/bulk-delete", {"file_ids": ids}).json["results"]
    assert [result["file_id"] for result in results] == ids
    assert [result["status"] for result in results].count("done") == 40

    too_many = owner("POST", "/api/files/bulk-delete", {"file_ids": [*ids, str(uuid4())]})
    assert_problem(too_many, 400, "invalid-input", ("body", "file_ids"))


def test_without_s3_every_result_says_so_and_nothing_has_changed(owner: Api, api_without_s3: Api) -> None:
    file = upload(owner)

    wanted = {"file_ids": [file["id"]]}
    answer = api_without_s3.as_user({"id": owner.user_id})("POST", "/api/files/bulk-delete", wanted)
    assert answer.json["results"][0]["problem"]["status"] == 503
    assert detail(owner, file)["state"] == "stored"


def test_a_bulk_deletion_beside_changes_does_not_deadlock(owner: Api) -> None:
    owner("POST", "/api/sessions", {"session_id": "s"})
    ids = [begin(owner, str(number), session_id="s")["id"] for number in range(20)]
    statuses: list[int] = []

    def change() -> None:
        for file_id in reversed(ids):
            statuses.append(owner("PATCH", f"/api/files/{file_id}", {"session_id": None}).status)

    def delete() -> None:
        for start in range(0, 20, 5):
            statuses.append(owner("POST", "/api/files/bulk-delete", {"file_ids": ids[start : start + 5]}).status)

    threads = [threading.Thread(target=work) for work in (change, delete)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(statuses) <= {200, 404}
    assert used(owner) == (0, 0)
