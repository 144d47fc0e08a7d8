"""Moving a file to a key where another one is, or was, tells nothing of what has become of that, and takes nothing of it."""

from typing import Any

from tests.support.api import Api, assert_problem
from tests.support.files import act, detail, find_by_key, key_of, read, upload, versions
from tests.support.users import new_member


def _try(api: Api, file: dict[str, Any], key: str) -> str:
    """What a refused move to this key says."""
    problem = assert_problem(api("POST", f"/api/files/{file['id']}/move", {"key": key}), 409, "conflict")
    return str(problem["detail"])


def _purge(api: Api, file: dict[str, Any]) -> None:
    assert api("DELETE", f"/api/files/{file['id']}").status == 204
    assert api("DELETE", "/api/trash").json["done"] == 1


def _hand_over(operator: Api, file: dict[str, Any], to: Api) -> None:
    assert operator("POST", f"/api/files/{file['id']}/hand-over", {"user_id": to.user_id}).status == 200


def test_a_former_owner_learns_nothing_of_a_file_that_was_handed_over(
    owner: Api, stranger: Api, files_api: Api
) -> None:
    given, probe = upload(owner, b"given", "given.txt"), upload(owner, b"probe", "probe.txt")
    _hand_over(files_api, given, stranger)
    told = {_try(owner, probe, given["key"])}
    assert stranger("DELETE", f"/api/files/{given['id']}").status == 204
    told.add(_try(owner, probe, given["key"]))
    assert stranger("DELETE", "/api/trash").json["done"] == 1
    told.add(_try(owner, probe, given["key"]))

    assert told == {f"There is something at {given['key']} already."}
    for part in ("events", "trail"):
        assert stranger("GET", f"/api/files/{given['id']}/{part}").status == 200


def test_a_former_owner_learns_nothing_of_a_file_that_moved_before(owner: Api, files_api: Api) -> None:
    given, probe = upload(owner, b"given", "given.txt"), upload(owner, b"probe", "probe.txt")
    act(owner, given, "move", {"key": key_of(owner, "moved.txt")})
    receiver = new_member(files_api)
    _hand_over(files_api, given, receiver)
    told = {_try(owner, probe, given["key"])}
    _purge(receiver, given)
    told.add(_try(owner, probe, given["key"]))
    assert told == {f"There is something at {given['key']} already."}


def test_ones_own_tombstone_gives_way_but_not_its_history(owner: Api, files_api: Api, stranger: Api) -> None:
    gone, file = upload(owner, b"gone", "gone.txt"), upload(owner, b"stays", "file.txt")
    owner("DELETE", f"/api/files/{gone['id']}")
    assert "in the trash" in _try(owner, file, gone["key"])
    assert owner("DELETE", "/api/trash").json["done"] == 1

    moved = act(owner, file, "move", {"key": gone["key"]})
    assert read(owner, moved) == b"stays"
    assert {item["size"] for item in versions(owner, moved) if not item["is_delete_marker"]} == {5}
    assert len(versions(owner, moved)) == 3  # the copy; at the old key the version that was left, and its marker
    assert_problem(owner("GET", f"/api/files/{gone['id']}/events"), 404, "not-found")

    # An operator may, and gets nothing of it, either.
    _purge(owner, moved)
    theirs = upload(stranger, b"another", "theirs.txt")
    taken = act(files_api, theirs, "move", {"key": gone["key"]})
    assert {item["size"] for item in versions(stranger, taken) if not item["is_delete_marker"]} == {7}


def test_what_a_file_left_stays_its_own_when_it_gives_way(owner: Api, files_api: Api) -> None:
    file, other = upload(owner, b"first", "a.txt"), upload(owner, b"other", "b.txt")
    moved = act(owner, file, "move", {"key": key_of(owner, "c.txt")})
    _purge(owner, moved)
    assert act(owner, other, "move", {"key": moved["key"]})["key"] == moved["key"]
    assert_problem(owner("GET", f"/api/files/{file['id']}"), 404, "not-found")

    # At its first key, too, nobody gets what was its own.
    left = find_by_key(files_api, file["key"])
    assert versions(files_api, left) == files_api.items(f"/api/files/{left['id']}/events") == []
    third = upload(owner, b"third one", "d.txt")
    assert act(owner, third, "move", {"key": file["key"]})["key"] == file["key"]
    assert detail(owner, third)["state"] == "stored"
    assert {item["size"] for item in versions(owner, third) if not item["is_delete_marker"]} == {9}
