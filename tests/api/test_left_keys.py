"""A key that one file has left and at which another one is now: each has what is its own, and nothing of the other's."""

from typing import Any

import pytest

from tests.support.api import Api, assert_problem
from tests.support.files import act, detail, ended, find_by_key, key_of, read, unique, versions
from tests.support.landing import BUCKET, Scanner


@pytest.fixture
def two(owner: Api, stranger: Api, scanner: Scanner) -> tuple[Any, Any]:
    """The owner's scan, which it has moved into its own folder, and a scan of the stranger's that has landed at its old key."""
    scanner.belong_to(owner)
    key = f"{scanner.prefix}out.pdf"
    scanner.land(key, b"the owner's")
    mine = scanner.move(owner, find_by_key(owner, key), key_of(owner, "mine.pdf"))
    scanner.belong_to(stranger)
    scanner.land(key, b"of the stranger")
    return mine, find_by_key(stranger, key)


def sizes(api: Api, file: dict[str, Any]) -> list[tuple[int | None, bool]]:
    """Size of each version of a file, and whether it is removed; without delete markers."""
    return [(item["size"], item["removed"]) for item in versions(api, file) if not item["is_delete_marker"]]


def left_version(owner: Api, mine: dict[str, Any]) -> str:
    """The id of the version that a moved file has left."""
    return str(versions(owner, mine)[-1]["version_id"])


def assert_nothing_of(left: str, api: Api, file: dict[str, Any]) -> None:
    """A caller of the later file learns nothing of the version that an earlier file has left at its key."""
    assert [(item["size"], item["is_delete_marker"]) for item in versions(api, file)] == [(file["size"], False)]
    events = api.items(f"/api/files/{file['id']}/events")
    assert [(event["change"], event["size"]) for event in events] == [("put", file["size"])]
    path = f"/api/files/{file['id']}"
    assert_problem(api("GET", f"{path}/download?redirect=false&version_id={left}"), 404, "not-found")


def test_who_shares_a_new_file_shares_nothing_of_the_one_that_left_its_key(
    owner: Api, stranger: Api, scanner: Scanner
) -> None:
    key, session = key_of(owner, "report.pdf"), unique("public")
    scanner.land(key, b"private report")
    private = scanner.move(owner, find_by_key(owner, key), key_of(owner, "archive/report.pdf"))
    scanner.land(key, b"public one")
    public = find_by_key(owner, key)
    assert public["id"] != private["id"]
    assert owner("POST", "/api/sessions", {"session_id": session}).status == 201
    assert owner("PATCH", f"/api/files/{public['id']}", {"session_id": session}).status == 200
    shared = owner("POST", f"/api/sessions/{session}/members", {"user_id": stranger.user_id, "role": "viewer"})
    assert shared.status == 201

    left = left_version(owner, private)
    assert_nothing_of(left, stranger, public)
    assert_nothing_of(left, owner, public)  # nor do the two mix for who owns both
    trail = owner.items(f"/api/files/{public['id']}/trail")
    assert [item["act"] for item in trail if item["via"] == "event"] == ["put"]
    assert sizes(owner, private) == [(14, False)] * 2


def test_a_file_of_another_owner_has_nothing_of_the_one_that_left_its_key(
    owner: Api, stranger: Api, files_api: Api, two: tuple[Any, Any]
) -> None:
    mine, theirs = two
    left = left_version(owner, mine)
    assert_nothing_of(left, stranger, theirs)
    assert_nothing_of(left, files_api, theirs)
    restored = stranger("POST", f"/api/files/{theirs['id']}/restore", {"version_id": left})
    assert_problem(restored, 404, "not-found")
    assert sizes(owner, mine) == [(11, False)] * 2
    assert read(owner, mine, version_id=left) == b"the owner's"
    assert [item["act"] for item in stranger.items(f"/api/files/{theirs['id']}/trail")] == ["put"]
    assert "put" in [item["act"] for item in owner.items(f"/api/files/{mine['id']}/trail")]


def test_a_purge_leaves_what_another_file_has_left_and_keeps_it_hidden(
    owner: Api, stranger: Api, two: tuple[Any, Any], s3: Any
) -> None:
    mine, theirs = two
    left = left_version(owner, mine)
    assert stranger("DELETE", f"/api/files/{theirs['id']}").status == 204
    assert stranger("DELETE", "/api/trash").json["done"] == 1

    assert sizes(stranger, theirs) == [(15, True)]
    assert sizes(owner, mine) == [(11, False)] * 2
    assert read(owner, mine, version_id=left) == b"the owner's"
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix=theirs["key"])
    assert_problem(stranger("POST", f"/api/files/{theirs['id']}/restore", {}), 409, "conflict")


def test_a_purge_keeps_what_is_left_hidden_without_a_marker_of_the_move(
    owner: Api, stranger: Api, scanner: Scanner, s3: Any
) -> None:
    scanner.belong_to(owner)
    key = f"{scanner.prefix}out.pdf"
    scanner.land(key, b"the owner's")
    mine = act(owner, find_by_key(owner, key), "move", {"key": key_of(owner, "mine.pdf")})
    scanner.belong_to(stranger)
    scanner.land(key, b"of the stranger")
    theirs = find_by_key(stranger, key)
    # As if the object had come before the move could delete what it left.
    marker = s3.list_object_versions(Bucket=BUCKET, Prefix=key)["DeleteMarkers"][0]["VersionId"]
    s3.delete_object(Bucket=BUCKET, Key=key, VersionId=marker)

    stranger("DELETE", f"/api/files/{theirs['id']}")
    assert stranger("DELETE", "/api/trash").json["done"] == 1
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix=key)
    assert read(owner, mine, version_id=left_version(owner, mine)) == b"the owner's"
    assert_problem(stranger("POST", f"/api/files/{theirs['id']}/restore", {}), 409, "conflict")
    assert find_by_key(stranger, key)["state"] == "deleted"


def test_a_purge_of_a_moved_file_leaves_what_has_come_to_its_old_key(
    owner: Api, stranger: Api, two: tuple[Any, Any], scanner: Scanner
) -> None:
    mine, theirs = two
    scanner.land(theirs["key"], b"its second one")
    assert stranger("DELETE", f"/api/files/{theirs['id']}").status == 204
    assert owner("DELETE", f"/api/files/{mine['id']}").status == 204
    assert owner("DELETE", "/api/trash").json["done"] == 1

    assert sizes(owner, mine) == [(11, True)] * 2
    assert sizes(stranger, theirs) == [(14, False), (15, False)]
    assert act(stranger, theirs, "restore")["state"] == "stored"
    assert read(stranger, theirs) == b"its second one"
    assert [event["change"] for event in stranger.items(f"/api/files/{theirs['id']}/events")] == ["put", "put"]


def test_what_a_moved_file_has_left_counts_for_its_owner_alone(owner: Api, stranger: Api, two: tuple[Any, Any]) -> None:
    def trash(member: Api) -> tuple[int, int]:
        used = member("GET", f"/api/users/{member.user_id}/usage").json
        return used["trash_versions"], used["trash_bytes"]

    _, theirs = two
    assert (trash(owner), trash(stranger)) == ((1, 11), (0, 0))
    stranger("DELETE", f"/api/files/{theirs['id']}")
    assert (trash(owner), trash(stranger)) == ((1, 11), (1, 15))
    stranger("DELETE", "/api/trash")
    assert (trash(owner), trash(stranger)) == ((1, 11), (0, 0))


def test_a_file_that_left_and_came_back_has_all_of_its_own(owner: Api, scanner: Scanner) -> None:
    key = key_of(owner, "a.txt")
    scanner.land(key, b"first")
    file = find_by_key(owner, key)
    away = scanner.move(owner, file, key_of(owner, "b.txt"))
    back = scanner.move(owner, away, key)
    scanner.land(key, b"second")

    assert detail(owner, back)["id"] == file["id"]
    assert sizes(owner, back) == [(6, False), (5, False), (5, False), (5, False)]
    events = owner.items(f"/api/files/{file['id']}/events")
    trail = [item for item in owner.items(f"/api/files/{file['id']}/trail") if item["via"] == "event"]
    assert len(events) == len(trail) == 4  # two puts and the marker of each move; nobody has told of the copies
    assert owner("DELETE", f"/api/files/{file['id']}").status == 204
    assert owner("DELETE", "/api/trash").json["done"] == 1
    assert sizes(owner, back) == [(6, True), (5, True), (5, True), (5, True)]


def test_a_file_returns_to_its_key_once_the_later_one_is_gone(owner: Api, scanner: Scanner) -> None:
    key = key_of(owner, "a.txt")
    scanner.land(key, b"first")
    away = scanner.move(owner, find_by_key(owner, key), key_of(owner, "b.txt"))
    scanner.land(key, b"a later one")
    later = find_by_key(owner, key)
    assert owner("DELETE", f"/api/files/{later['id']}").status == 204
    assert_problem(owner("POST", f"/api/files/{away['id']}/move", {"key": key}), 409, "conflict")
    assert owner("DELETE", "/api/trash").json["done"] == 1

    back = act(owner, away, "move", {"key": key})
    assert (back["id"], read(owner, back)) == (away["id"], b"first")
    assert sizes(owner, back) == [(5, False)] * 3  # the copy, the one that was left, and the one at the other key
    assert detail(owner, back)["key"] == key


def test_a_rule_gives_nobody_what_a_moved_file_has_left(
    owner: Api, stranger: Api, files_api: Api, scanner: Scanner
) -> None:
    scanner.belong_to(owner)
    prefix = scanner.prefix
    scanner.land(f"{prefix}salary.txt", b"the owner's")
    scanner.land(f"{prefix}kept.txt", b"kept")
    scanner.move(owner, find_by_key(owner, f"{prefix}salary.txt"), key_of(owner, "salary.txt"))
    scanner.belong_to(stranger)

    applied = ended(files_api, files_api("POST", f"/api/owner-rules/{scanner.rule}/apply").json)
    assert applied["done"] == 0
    assert stranger.items(f"/api/files?state=any&prefix={prefix}") == []
    left = find_by_key(files_api, f"{prefix}salary.txt")
    assert_problem(stranger("POST", f"/api/files/{left['id']}/restore", {}), 404, "not-found")
    # Nor does an operator bring it back where it was: it is at its new key.
    problem = assert_problem(files_api("POST", f"/api/files/{left['id']}/restore", {}), 409, "conflict")
    assert "Nothing is left" in problem["detail"]
