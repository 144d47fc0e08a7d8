"""Copying a file, over real HTTP and a real S3 protocol."""

from tests.support.api import Api, assert_problem
from tests.support.files import act, read, upload
from tests.support.users import limit


def test_a_copy_is_a_file_of_its_own_with_the_same_bytes(owner: Api) -> None:
    file = upload(owner, b"hello", "a.txt", session_id="s", metadata='{"a": 1}')

    copy = act(owner, file, "copy", {"name": "b.txt", "tags": ["copied"]}, 201)
    assert (copy["state"], copy["name"], copy["session_id"], copy["job"]) == ("stored", "b.txt", "s", None)
    assert (copy["metadata"], copy["tags"], copy["size"]) == ({"a": 1}, ["copied"], 5)
    assert copy["id"] != file["id"]
    assert copy["key"] != file["key"]
    assert owner("DELETE", f"/api/files/{file['id']}").status == 204
    assert read(owner, copy) == b"hello"
    assert owner("GET", f"/api/files/{copy['id']}").json["media_type"] == "text/plain"


def test_an_operators_copy_of_a_members_file_has_no_session_by_default(owner: Api, files_api: Api) -> None:
    file = upload(owner, b"hello", "a.txt", session_id="members-own")

    copy = act(files_api, file, "copy", {}, 201)
    assert (copy["session_id"], copy["name"]) == (None, "a.txt")
    assert_problem(files_api("GET", "/api/sessions/members-own"), 404, "not-found")
    assert act(files_api, file, "copy", {"session_id": "operators-own"}, 201)["session_id"] == "operators-own"
    assert act(owner, file, "copy", {"session_id": None, "name": None}, 201)["session_id"] is None


def test_a_copy_needs_stored_bytes_access_and_room(owner: Api, files_api: Api, stranger: Api) -> None:
    pending = owner("POST", "/api/files", {"name": "x"}).json
    assert_problem(owner("POST", f"/api/files/{pending['id']}/copy", {}), 409, "conflict")

    file = upload(owner, b"hello")
    assert_problem(stranger("POST", f"/api/files/{file['id']}/copy", {}), 404, "not-found")

    limit(files_api, owner, max_bytes=9)
    assert_problem(owner("POST", f"/api/files/{file['id']}/copy", {}), 403, "over-quota")
    assert len(owner("GET", "/api/files?state=stored").json["items"]) == 1
