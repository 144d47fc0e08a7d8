"""An object that lands at a key whose file was removed permanently."""

from typing import Any

import pytest

from tests.support.api import Api, assert_problem
from tests.support.files import find_by_key, read, unique, versions
from tests.support.landing import Scanner


def _land(owner: Api, scanner: Scanner, content: bytes) -> Any:
    """An object lands; says the file that its owner has then."""
    key = f"{scanner.prefix}out.pdf"
    scanner.land(key, content)
    return find_by_key(owner, key)


def _remove(api: Api, file: dict[str, Any]) -> None:
    """Delete a file, and empty the trash."""
    assert api("DELETE", f"/api/files/{file['id']}").status == 204
    assert api("DELETE", "/api/trash").json["done"] == 1


@pytest.fixture
def gone(owner: Api, scanner: Scanner) -> Any:
    """A scan of the owner's, in a session and with a link, which it has removed permanently."""
    scanner.belong_to(owner)
    file, session = _land(owner, scanner, b"scan of the owner"), unique("scans")
    assert owner("POST", "/api/sessions", {"session_id": session}).status == 201
    changed = owner("PATCH", f"/api/files/{file['id']}", {"session_id": session, "tags": ["mine"], "name": "secret"})
    assert changed.status == 200
    link = owner("POST", f"/api/files/{file['id']}/shares", {"seconds": 3600})
    assert link.status == 201, link.body
    _remove(owner, file)
    return file | {"link": link.json["url"]}


def test_it_belongs_to_whom_the_rule_says_by_then_and_is_a_new_file(
    owner: Api, stranger: Api, scanner: Scanner, gone: Any
) -> None:
    scanner.belong_to(stranger)
    file = _land(stranger, scanner, b"scan of another")

    assert file["id"] != gone["id"]
    assert (file["owner_id"], file["session_id"], file["tags"], file["name"]) == (
        stranger.user_id, None, [], "out.pdf",
    )  # fmt: skip
    assert read(stranger, file) == b"scan of another"
    assert owner.items("/api/files?state=any") == []
    assert_problem(owner("GET", f"/api/files/{gone['id']}"), 404, "not-found")
    assert owner.as_nobody().follow(gone["link"]).status in (404, 410)

    assert [item["size"] for item in versions(stranger, file)] == [15]
    assert [event["size"] for event in stranger.items(f"/api/files/{file['id']}/events")] == [15]
    assert [item["act"] for item in stranger.items(f"/api/files/{file['id']}/trail")] == ["put"]
    _remove(stranger, file)
    assert owner("GET", f"/api/users/{owner.user_id}/usage").json["trash_versions"] == 0


def test_without_a_rule_it_is_nobodys(owner: Api, files_api: Api, scanner: Scanner, gone: Any) -> None:
    assert files_api("DELETE", f"/api/owner-rules/{scanner.rule}").status == 204
    file = _land(files_api, scanner, b"scan of nobody's")
    assert (file["id"] != gone["id"], file["owner_id"]) == (True, None)
    assert owner.items("/api/files?state=any") == []


def test_where_the_owner_is_the_same_so_is_the_file(owner: Api, scanner: Scanner, gone: Any) -> None:
    file = _land(owner, scanner, b"another one of the owner's")
    assert (file["id"], file["owner_id"], file["tags"]) == (gone["id"], owner.user_id, ["mine"])
    # But who had a link to what was removed has none to what has come in its place.
    assert owner.as_nobody().follow(gone["link"]).status in (404, 410)


def test_what_can_still_be_restored_keeps_its_key(owner: Api, stranger: Api, scanner: Scanner) -> None:
    scanner.belong_to(owner)
    file = _land(owner, scanner, b"scan of the owner")
    assert owner("DELETE", f"/api/files/{file['id']}").status == 204
    scanner.belong_to(stranger)
    again = _land(owner, scanner, b"the next one")
    assert (again["id"], again["owner_id"]) == (file["id"], owner.user_id)
