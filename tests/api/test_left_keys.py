"""A key that one file has left and at which another one is now: each has what is its own, and nothing of the other's."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine

from chalicelib.runtime import now
from tests.support.api import Api, assert_problem
from tests.support.files import act, detail, ended, find_by_key, key_of, read, unique, versions
from tests.support.notifications import s3_record
from tests.support.recording import deliver

BUCKET = "versioned"
Land = Callable[..., None]
_sequencers = count(1)


@pytest.fixture
def tell(engine: Engine) -> Land:
    """Tells of what has become of a key."""

    def tell(event: str, key: str, **fields: Any) -> None:
        deliver(
            engine, s3_record(event, key, bucket=BUCKET, sequencer=f"{next(_sequencers):08X}", time=now(), **fields)
        )

    return tell


@pytest.fixture
def land(s3: Any, tell: Land) -> Land:
    """Puts an object straight into the bucket, and tells of it."""

    def land(key: str, content: bytes) -> None:
        put = s3.put_object(Bucket=BUCKET, Key=key, Body=content)
        fields = {"version_id": put["VersionId"], "etag": put["ETag"].strip('"'), "size": len(content)}
        tell("ObjectCreated:Put", key, **fields)

    return land


@pytest.fixture
def leave(s3: Any, tell: Land) -> Callable[[Api, dict[str, Any], str], Any]:
    """Moves a file, and tells of the delete marker at its old key."""

    def leave(owner: Api, file: dict[str, Any], key: str) -> Any:
        moved = act(owner, file, "move", {"key": key})
        listed = s3.list_object_versions(Bucket=BUCKET, Prefix=file["key"])
        tell("ObjectRemoved:DeleteMarkerCreated", file["key"], version_id=listed["DeleteMarkers"][0]["VersionId"])
        return moved

    return leave


@pytest.fixture
def scanner(files_api: Api) -> Callable[[Api], tuple[str, dict[str, Any]]]:
    """Says a prefix whose new objects are a member's from now on."""
    prefix, rules = f"{unique('scanner')}/", list[str]()

    def give(owner: Api) -> str:
        for rule in rules:
            assert files_api("DELETE", f"/api/owner-rules/{rule}").status == 204
        made = files_api("POST", "/api/owner-rules", {"prefix": prefix, "user_id": owner.user_id, "bucket": BUCKET})
        assert made.status == 201, made.body
        rules[:] = [made.json["id"]]
        return prefix

    return give


@pytest.fixture
def two(owner: Api, stranger: Api, land: Land, leave: Any, scanner: Any) -> tuple[Any, Any]:
    """The owner's scan, which it has moved into its own folder, and a scan of the stranger's that has landed at its old key."""
    key = f"{scanner(owner)}out.pdf"
    land(key, b"the owner's")
    mine = leave(owner, find_by_key(owner, key), key_of(owner, "mine.pdf"))
    scanner(stranger)
    land(key, b"of the stranger")
    return mine, find_by_key(stranger, key)


def apply_rule(operator: Api, prefix: str) -> Any:
    """Apply the rule of this prefix; says the job."""
    (rule,) = [rule for rule in operator.items("/api/owner-rules") if rule["prefix"] == prefix]
    return ended(operator, operator("POST", f"/api/owner-rules/{rule['id']}/apply").json)


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
    owner: Api, stranger: Api, land: Land, leave: Any
) -> None:
    key, session = key_of(owner, "report.pdf"), unique("public")
    land(key, b"private report")
    private = leave(owner, find_by_key(owner, key), key_of(owner, "archive/report.pdf"))
    land(key, b"public one")
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
    owner: Api, stranger: Api, land: Land, scanner: Any, s3: Any
) -> None:
    key = f"{scanner(owner)}out.pdf"
    land(key, b"the owner's")
    mine = act(owner, find_by_key(owner, key), "move", {"key": key_of(owner, "mine.pdf")})
    scanner(stranger)
    land(key, b"of the stranger")
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
    owner: Api, stranger: Api, two: tuple[Any, Any], land: Land
) -> None:
    mine, theirs = two
    land(theirs["key"], b"its second one")
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


def test_a_file_that_left_and_came_back_has_all_of_its_own(owner: Api, land: Land, leave: Any) -> None:
    key = key_of(owner, "a.txt")
    land(key, b"first")
    file = find_by_key(owner, key)
    away = leave(owner, file, key_of(owner, "b.txt"))
    back = leave(owner, away, key)
    land(key, b"second")

    assert detail(owner, back)["id"] == file["id"]
    assert sizes(owner, back) == [(6, False), (5, False), (5, False), (5, False)]
    events = owner.items(f"/api/files/{file['id']}/events")
    trail = [item for item in owner.items(f"/api/files/{file['id']}/trail") if item["via"] == "event"]
    assert len(events) == len(trail) == 4  # two puts and the marker of each move; nobody has told of the copies
    assert owner("DELETE", f"/api/files/{file['id']}").status == 204
    assert owner("DELETE", "/api/trash").json["done"] == 1
    assert sizes(owner, back) == [(6, True), (5, True), (5, True), (5, True)]


def test_a_rule_gives_nobody_what_a_moved_file_has_left(
    owner: Api, stranger: Api, files_api: Api, land: Land, leave: Any, scanner: Any
) -> None:
    prefix = scanner(owner)
    land(f"{prefix}salary.txt", b"the owner's")
    land(f"{prefix}kept.txt", b"kept")
    leave(owner, find_by_key(owner, f"{prefix}salary.txt"), key_of(owner, "salary.txt"))
    scanner(stranger)

    assert apply_rule(files_api, prefix)["done"] == 0
    assert stranger.items(f"/api/files?state=any&prefix={prefix}") == []
    left = find_by_key(files_api, f"{prefix}salary.txt")
    assert_problem(stranger("POST", f"/api/files/{left['id']}/restore", {}), 404, "not-found")
    # Nor does an operator bring it back where it was: it is at its new key.
    problem = assert_problem(files_api("POST", f"/api/files/{left['id']}/restore", {}), 409, "conflict")
    assert "Nothing is left" in problem["detail"]
