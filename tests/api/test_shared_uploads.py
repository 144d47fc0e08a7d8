"""Uploads by an editor of another user's session, in parts and by Uppy; and what else is confined to the session."""

import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.api import Api, assert_problem
from tests.support.sharing import Shared, new_shared
from tests.support.users import limit, used


@pytest.fixture
def shared(owner: Api) -> Shared:
    return new_shared(owner)


@pytest.fixture
def editor(files_api: Api, shared: Shared) -> Api:
    return shared.member(files_api, "editor")


@pytest.fixture
def viewer(files_api: Api, shared: Shared) -> Api:
    return shared.member(files_api, "viewer")


def meta(shared: Shared) -> dict[str, str]:
    return {"session_id": shared.session_id, "owner_id": shared.owner.user_id}


def put(url: str, body: bytes) -> str:
    request = urllib.request.Request(url, body, method="PUT")
    with urllib.request.urlopen(request) as answer:
        return str(answer.headers["ETag"])


def test_an_editor_sends_parts(shared: Shared, editor: Api, viewer: Api) -> None:
    document = {"name": "parts.bin", "size": 5, "method": "multipart", **meta(shared)}
    begun = editor("POST", "/api/files", document).json
    path = f"/api/files/{begun['id']}"
    (part,) = editor("POST", f"{path}/parts", {"part_numbers": [1]}).json["parts"]
    assert_problem(viewer("POST", f"{path}/parts", {"part_numbers": [1]}), 403, "forbidden")
    put(part["url"], b"parts")
    assert [one["size"] for one in editor("GET", f"{path}/parts").json["parts"]] == [5]
    stored = editor("POST", f"{path}/complete", {}).json
    assert (stored["state"], stored["owner_id"]) == ("stored", shared.owner.user_id)


def test_an_editor_uploads_with_both_uppys(shared: Shared, editor: Api, viewer: Api, stranger: Api) -> None:
    begun: Any = editor("POST", "/s3/multipart", {"filename": "a.bin", "metadata": meta(shared)}).json
    assert begun["key"].startswith(f"{shared.owner.user_id}/")
    named = f"/s3/multipart/{begun['uploadId']}"
    query = f"key={begun['key']}"
    assert [member("GET", f"{named}/1?{query}").status for member in (viewer, stranger)] == [403, 404]
    etag = put(editor("GET", f"{named}/1?{query}").json["url"], b"uppy")
    sent = {"parts": [{"PartNumber": 1, "ETag": etag}]}
    file_id = editor("POST", f"{named}/complete?{query}", sent).json["id"]
    assert editor("GET", f"/api/files/{file_id}").json["session_id"] == shared.session_id

    form = editor("GET", "/s3/params?filename=b.txt" + "".join(f"&metadata[{n}]={v}" for n, v in meta(shared).items()))
    assert form.json["fields"]["key"].startswith(f"{shared.owner.user_id}/")
    signed = editor("POST", "/api/uploads/sign", {"method": "PUT", "key": "c.txt", "file": {"meta": meta(shared)}})
    assert signed.json["key"].startswith(f"{shared.owner.user_id}/")
    again = editor("POST", "/api/uploads/sign", {"method": "DELETE", "key": signed.json["key"]})
    assert again.status == 200
    for member, status, name in ((viewer, 403, "forbidden"), (stranger, 404, "not-found")):
        answer = member("POST", "/api/uploads/sign", {"method": "DELETE", "key": signed.json["key"]})
        assert_problem(answer, status, name)
        answer = member("POST", "/s3/multipart", {"filename": "a.bin", "metadata": meta(shared)})
        assert answer.status == status


def test_the_owners_quota_counts_and_not_the_editors(files_api: Api, shared: Shared, editor: Api) -> None:
    limit(files_api, editor, max_bytes=0)
    assert editor("POST", "/api/files", {"name": "a", "size": 5, **meta(shared)}).status == 201
    limit(files_api, shared.owner, max_bytes=used(shared.owner)[1] + 4)
    assert_problem(editor("POST", "/api/files", {"name": "a", "size": 5, **meta(shared)}), 403, "over-quota")


def test_what_an_editor_announces_is_bounded_by_the_sessions_limits(
    files_api: Api, shared: Shared, editor: Api
) -> None:
    """It never has to send the bytes, and takes room in the owner's quota all the same."""
    limit(files_api, shared.owner, max_bytes=100)
    bounds = {"limits": {"max_bytes": 20, "max_files": 3}}
    assert shared.owner("PATCH", shared.path, bounds).status == 200
    assert_problem(editor("PATCH", f"{shared.path}?owner_id={shared.owner.user_id}", {"limits": {}}), 403, "forbidden")
    announced = {"name": "a", "size": 15, **meta(shared)}
    begun = editor("POST", "/api/files", announced)
    assert begun.status == 201
    assert_problem(editor("POST", "/api/files", announced | {"size": 1}), 403, "over-quota")
    assert shared.owner("POST", "/api/files", {"name": "b", "size": 50}).status == 201, "there is room elsewhere"
    assert shared.owner("DELETE", f"/api/files/{begun.json['id']}").status == 204
    assert editor("POST", "/api/files", announced).status == 201


def test_the_owner_sees_what_is_announced_by_whom_and_calls_it_off(shared: Shared, editor: Api) -> None:
    before = shared.owner("GET", f"{shared.path}/usage").json
    parts = {"name": "a", "size": 7, "method": "multipart", **meta(shared)}
    begun = [editor("POST", "/api/files", parts | more).json["id"] for more in ({}, {"size": None})]

    pending = shared.owner("GET", f"/api/files?state=pending&session_id={shared.session_id}").json["items"]
    assert {(file["id"], file["owner_id"]) for file in pending} == {(one, shared.owner.user_id) for one in begun}
    after = shared.owner("GET", f"{shared.path}/usage").json
    assert (after["files"] - before["files"], after["bytes"] - before["bytes"]) == (2, 7)
    acts = shared.owner("GET", f"/api/trail?act=upload&actor_id={editor.user_id}").json["items"]
    assert {act["file_id"] for act in acts} == set(begun)

    shared.owner("POST", "/api/files/bulk-delete", {"file_ids": begun})
    assert shared.owner("GET", f"{shared.path}/usage").json["bytes"] == before["bytes"]
    assert [editor("POST", f"/api/files/{one}/parts", {"part_numbers": [1]}).status for one in begun] == [404, 404]


def test_two_editors_who_announce_at_once_stay_within_the_sessions_limits(
    files_api: Api, shared: Shared, editor: Api
) -> None:
    """Whether they say the size or not."""
    shared.owner("PATCH", shared.path, {"limits": {"max_files": 4, "max_bytes": 100}})
    other = shared.member(files_api, "editor")
    announced = [
        (one, {"name": "a", "size": size, **meta(shared)}) for one in (editor, other) for size in (40, 40, None)
    ]

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda one: one[0]("POST", "/api/files", one[1]).status, announced))
    assert set(answers) == {201, 403}
    usage = shared.owner("GET", f"{shared.path}/usage").json
    assert usage["files"] == 1 + answers.count(201) <= 4
    assert usage["bytes"] <= 100


def test_nobody_opens_a_session_for_another_user(files_api: Api, shared: Shared, editor: Api) -> None:
    shared.owner("DELETE", shared.path)
    for member in (editor, files_api):
        assert_problem(member("POST", "/api/files", {"name": "a", "size": 5, **meta(shared)}), 404, "not-found")
    assert_problem(shared.owner("GET", shared.path), 404, "not-found")


def test_an_operator_uploads_into_any_session(files_api: Api, shared: Shared) -> None:
    begun = files_api("POST", "/api/files", {"name": "a", "size": 5, **meta(shared)}).json
    assert (begun["owner_id"], begun["session_id"]) == (shared.owner.user_id, shared.session_id)


def test_a_file_that_leaves_the_session_is_seen_no_more(shared: Shared, viewer: Api) -> None:
    path = f"/api/files/{shared.file['id']}"
    assert viewer("GET", path).status == 200
    shared.owner("PATCH", path, {"session_id": None})
    assert_problem(viewer("GET", path), 404, "not-found")
    shared.owner("PATCH", path, {"session_id": shared.session_id})
    assert viewer("GET", path).status == 200
