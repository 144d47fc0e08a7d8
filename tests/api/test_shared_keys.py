"""API keys of somebody with whom a session is shared."""

from typing import Any

import pytest

from tests.support.callers import Caller

pytestmark = pytest.mark.usefixtures("in_this_process")

OPERATOR = Caller()


@pytest.fixture
def owner() -> Caller:
    return OPERATOR.new_member("Owner")


@pytest.fixture
def editor(owner: Caller) -> Caller:
    editor = OPERATOR.new_member("Editor")
    assert owner("POST", "/api/sessions", {"session_id": "shared"}).status == 201
    document = {"user_id": editor.user_id, "role": "editor"}
    assert owner("POST", "/api/sessions/{session_id}/members", document, session_id="shared").status == 201
    return editor


@pytest.fixture
def file(owner: Caller, editor: Caller) -> Any:
    return owner.new_file(session_id="shared")


def test_a_key_may_what_its_owner_may_in_the_session_and_its_scopes_allow(
    owner: Caller, editor: Caller, file: Any
) -> None:
    path = "/api/files/{file_id}"
    both, reads = editor.new_key("read", "write")[0], editor.new_key("read")[0]
    assert both("PATCH", path, {"name": "b"}, file_id=file["id"]).status == 200
    assert reads("GET", path, file_id=file["id"]).json["name"] == "b"
    refused = reads("PATCH", path, {"name": "c"}, file_id=file["id"])
    assert (refused.status, refused.json["detail"]) == (403, "This API key lacks the scope `write`.")
    into = {"name": "n", "session_id": "shared", "owner_id": owner.user_id}
    assert both("POST", "/api/files", into).json["owner_id"] == owner.user_id


@pytest.mark.parametrize("part", ["prefix", "session_id"])
def test_a_key_for_a_part_gets_no_further_by_sharing(owner: Caller, editor: Caller, file: Any, part: str) -> None:
    editor("POST", "/api/sessions", {"session_id": "own"})
    editor("POST", "/api/sessions", {"session_id": "shared"})
    bounds = {"prefix": f"{editor.user_id}/in/", "session_id": "own"}
    key, _ = editor.new_key("read", "write", **{part: bounds[part]})
    named = {"owner_id": owner.user_id, "session_id": "shared"}
    assert key("GET", "/api/files/{file_id}", file_id=file["id"]).status == 404
    for resource in ("/api/files", "/api/files/facets", "/api/folders"):
        assert key("GET", resource, query=named).status == 404
    assert key("POST", "/api/files", {"name": "n", **named}).status == 404
    assert key("GET", "/api/sessions", query={"shared": "true"}).json["items"] == []
    results = key("POST", "/api/files/bulk-delete", {"file_ids": [file["id"]]}).json["results"]
    assert [result["problem"]["status"] for result in results] == [404]


def test_a_key_for_a_session_counts_no_folders_of_another(editor: Caller) -> None:
    for session_id in ("own", "other"):
        editor("POST", "/api/sessions", {"session_id": session_id})
    key, _ = editor.new_key("read", session_id="own")
    assert key("GET", "/api/folders", query={"session_id": "own"}).status == 200
    assert key("GET", "/api/folders", query={"session_id": "other"}).status == 404
