"""How many files and bytes a user or a session may have, whatever happens at the same time."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
import urllib3
from sqlalchemy import text

from chalicelib.services.removal import trash
from tests.support.api import Api, assert_problem
from tests.support.clockwork import Clockwork
from tests.support.files import detail, upload
from tests.support.uploads import begin, complete, send, send_fields, store
from tests.support.users import limit, new_member, usage, used


def test_usage_follows_uploads_sessions_and_deletions(owner: Api) -> None:
    assert used(owner) == (0, 0)

    file = begin(owner, size=7, session_id="s")
    assert used(owner) == (1, 7)

    send(file["plan"], b"7 bytes")
    complete(owner, file)
    assert used(owner) == (1, 7)
    assert owner("GET", "/api/sessions/s/usage").json["bytes"] == 7

    owner("PATCH", f"/api/files/{file['id']}", {"session_id": None})
    assert owner("GET", "/api/sessions/s/usage").json["bytes"] == 0
    assert used(owner) == (1, 7)

    owner("DELETE", f"/api/files/{file['id']}")
    assert used(owner) == (0, 0)


def test_fifty_uploads_at_once_do_not_exceed_the_quota(files_api: Api) -> None:
    api = new_member(files_api, "Greedy", limits={"max_bytes": 1000, "max_files": 30})

    def ask(number: int) -> int:
        return api("POST", "/api/files", {"name": f"{number}", "size": 100}).status

    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(ask, range(50)))

    assert sorted(set(statuses)) == [201, 403]
    assert statuses.count(201) == 10
    assert_problem(api("POST", "/api/files", {"name": "x", "size": 1}), 403, "over-quota")
    assert api("POST", "/api/files", {"name": "x", "size": 0}).status == 201


# --- what came is more than was announced


def test_an_object_larger_than_announced_is_judged_after_it_has_come(
    owner: Api, files_api: Api, s3: Any, clockwork: Clockwork
) -> None:
    limit(files_api, owner, max_file_bytes=1000)
    file = begin(owner, size=1)
    s3.put_object(Bucket="versioned", Key=file["key"], Body=bytes(5000))  # as by parts of a client's own

    assert complete(owner, file)["size"] == 5000
    assert UUID(file["id"]) in clockwork.judge()

    problem = assert_problem(owner("GET", f"/api/files/{file['id']}"), 404, "not-found")
    assert "1000" in problem["detail"]


def test_a_form_that_is_used_again_is_judged_again(owner: Api, files_api: Api, clockwork: Clockwork) -> None:
    limit(files_api, owner, max_bytes=1000)
    forms = [owner("GET", f"/s3/params?filename={number}").json for number in range(3)]

    def fill(size: int) -> None:
        for form in forms:
            assert send_fields(form, bytes(size)).status == 201
            clockwork.deliver_current(form["fields"]["key"])

    fill(1)
    assert clockwork.judge() == []

    fill(1000)
    assert len(clockwork.judge()) == 2

    told = usage(owner)
    assert (told["files"], told["bytes"]) == (1, 1000)
    assert (told["trash_versions"], told["trash_bytes"]) == (5, 2003)  # three of one byte, two of a thousand


def test_the_link_of_a_cancelled_upload_does_not_circumvent_the_quota(
    owner: Api, files_api: Api, clockwork: Clockwork
) -> None:
    limit(files_api, owner, max_files=1)
    cancelled = []
    for _ in range(3):
        cancelled.append(begin(owner, size=5))
        assert owner("DELETE", f"/api/files/{cancelled[-1]['id']}").status == 204
    kept = store(owner, b"kept!")

    for file in cancelled:
        assert send(file["plan"], b"later").status == 200
        clockwork.deliver_current(file["key"])

    assert set(clockwork.judge()) == {UUID(file["id"]) for file in cancelled}
    assert detail(owner, kept)["state"] == "stored"


def test_parts_of_an_upload_of_unknown_size_count_while_they_come(
    owner: Api, files_api: Api, clockwork: Clockwork
) -> None:
    limit(files_api, owner, max_bytes=12_000_000)
    begun = owner("POST", "/s3/multipart", {"filename": "large", "metadata": {}}).json
    place = f"/s3/multipart/{begun['uploadId']}"
    key = urlencode({"key": begun["key"]})
    links = [owner("GET", f"{place}/{number}?{key}").json["url"] for number in (1, 2, 3)]
    for link in links[:2]:
        assert urllib3.request("PUT", link, body=bytes(5_500_000)).status == 200
    assert owner("GET", f"{place}/3?{key}").status == 200
    assert used(owner)[1] == 11_000_000
    assert_problem(owner("POST", "/api/files", {"name": "b", "size": 2_000_000}), 403, "over-quota")

    assert urllib3.request("PUT", links[2], body=bytes(5_500_000)).status == 200
    refused = owner("GET", f"{place}/4?{key}")
    assert (refused.status, refused.json["type"]) == (403, "/problems/over-quota")

    assert [reason for reason in clockwork.measure() if "no room for so many bytes" in reason]
    assert clockwork.store.multipart.list_ids(begun["bucket"], begun["key"]) == []
    assert used(owner)[1] == 0


def test_a_second_multipart_upload_of_a_file_counts_too(owner: Api, files_api: Api, clockwork: Clockwork) -> None:
    limit(files_api, owner, max_bytes=12_000_000)
    said = {"name": "large", "size": 6_000_000}
    begun = owner("POST", "/api/uploads/sign", {"method": "POST", "key": "k", "file": said}).json
    for _ in range(3):
        upload_id = clockwork.store.multipart.create("versioned", begun["key"], None)
        asked = {"method": "PUT", "key": begun["key"], "uploadId": upload_id, "partNumber": 1, "file": said}
        url = owner("POST", "/api/uploads/sign", asked).json["url"]
        assert urllib3.request("PUT", url, body=bytes(5 * 1024**2)).status == 200

    assert ["no room for so many bytes" in reason for reason in clockwork.measure()] == [True]
    assert clockwork.store.multipart.list_ids("versioned", begun["key"]) == []


# --- restores and other changes


@pytest.mark.parametrize("by_version", [True, False])
def test_simultaneous_restores_do_not_exceed_the_quota(owner: Api, files_api: Api, by_version: bool) -> None:
    limit(files_api, owner, max_bytes=1500)
    files = []
    for _ in range(6):
        files.append(upload(owner, bytes(1000)))
        assert owner("DELETE", f"/api/files/{files[-1]['id']}").status == 204

    def restore(file: Any) -> int:
        body = {"version_id": file["version_id"]} if by_version else {}
        return owner("POST", f"/api/files/{file['id']}/restore", body).status

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(restore, files))

    assert sorted(statuses) == [200, 403, 403, 403, 403, 403]
    assert used(owner) == (1, 1000)


def test_the_schedule_frees_what_a_dead_restore_has_reserved(owner: Api, clockwork: Clockwork) -> None:
    file = upload(owner, bytes(1000))
    assert owner("DELETE", f"/api/files/{file['id']}").status == 204
    with clockwork.transaction() as session:
        session.execute(text("UPDATE files SET restoring = 1000 WHERE id = :id"), {"id": file["id"]})

    assert used(owner) == (1, 1000)

    assert trash.forget_restores(clockwork.context()) == 1
    assert used(owner) == (0, 0)


def test_a_bulk_restore_and_a_change_of_session_respect_quotas(owner: Api, files_api: Api) -> None:
    files = [upload(owner, bytes(600)) for _ in range(4)]
    ids = {"file_ids": [file["id"] for file in files]}
    owner("POST", "/api/files/bulk-delete", ids)
    limit(files_api, owner, max_bytes=1300)

    results = owner("POST", "/api/files/bulk-restore", ids).json["results"]
    assert [result["status"] for result in results] == ["done", "done", "failed", "failed"]
    assert results[2]["problem"]["type"] == "/problems/over-quota"

    owner("POST", "/api/sessions", {"session_id": "one", "limits": {"max_files": 1}})
    changed = [owner("PATCH", f"/api/files/{file['id']}", {"session_id": "one"}).status for file in files[:2]]
    assert changed == [200, 403]
