"""Files that are made with an API key for a part of what its owner has, over real HTTP and a real S3 protocol."""

from typing import Any

from tests.support.api import Api, assert_problem
from tests.support.files import act, key_of, read, upload


def with_key(owner: Api, *scopes: str, **fields: Any) -> Api:
    """A client with a new key of the owner's."""
    made = owner("POST", "/api/keys", {"name": "machine", "scopes": list(scopes), **fields})
    assert made.status == 201, made.body
    return Api(owner.port, owner.log, {"Authorization": f"Bearer {made.json['secret']}"})


def test_a_prefix_key_uploads_copies_and_moves_below_its_prefix(owner: Api) -> None:
    prefix = f"{owner.user_id}/in/"
    machine = with_key(owner, "read", "write", prefix=prefix)
    file = upload(machine, b"hello", "a.txt")
    assert file["key"].startswith(prefix)
    assert read(machine, file) == b"hello"
    assert act(machine, file, "copy", {"name": "b.txt"}, 201)["key"].startswith(prefix)

    refused = machine("POST", f"/api/files/{file['id']}/move", {"key": key_of(owner, "elsewhere.txt")})
    assert_problem(refused, 403, "forbidden")
    assert act(machine, file, "move", {"key": f"{prefix}deeper/a.txt"})["key"] == f"{prefix}deeper/a.txt"


def test_a_prefix_keys_copy_of_a_file_in_a_session_is_in_none(owner: Api) -> None:
    file = upload(owner, b"hello", "a.txt", session_id="s")
    machine = with_key(owner, "read", "write", prefix=f"{owner.user_id}/")
    assert act(machine, file, "copy", {}, 201)["session_id"] is None
    assert_problem(machine("POST", f"/api/files/{file['id']}/copy", {"session_id": "s"}), 403, "forbidden")


def test_a_session_keys_files_and_zips_go_into_its_session(owner: Api) -> None:
    assert owner("POST", "/api/sessions", {"session_id": "s"}).status == 201
    machine = with_key(owner, "read", "write", session_id="s")
    file = upload(machine, b"hello", "a.txt")
    assert file["session_id"] == "s"
    assert act(machine, file, "copy", {}, 201)["session_id"] == "s"

    made = machine("POST", "/api/zips", {"file_ids": [file["id"]]})
    assert made.json["state"] == "done", made.body
    assert machine("GET", f"/api/files/{made.json['result']['file_id']}").json["session_id"] == "s"


def test_a_session_key_is_bound_by_its_sessions_limits_and_leaves_them(owner: Api) -> None:
    owner("POST", "/api/sessions", {"session_id": "s", "limits": {"max_files": 1}})
    machine = with_key(owner, "read", "write", session_id="s")
    assert machine("POST", "/api/files", {"name": "a", "size": 1}).status == 201
    for method, document in (("PATCH", {"limits": {}}), ("PATCH", {"limits": {"max_files": 2}}), ("PUT", {})):
        assert_problem(machine(method, "/api/sessions/s", document), 403, "forbidden")
    assert_problem(machine("POST", "/api/files", {"name": "b", "size": 1}), 403, "over-quota")

    same = {"max_files": 1, "max_bytes": None}
    for method, document in (("PATCH", {"name": "A"}), ("PATCH", {"limits": same}), ("PUT", {"limits": same})):
        assert machine(method, "/api/sessions/s", document).status == 200
    assert owner("PATCH", "/api/sessions/s", {"limits": {}}).status == 200
    assert machine("POST", "/api/files", {"name": "b", "size": 1}).status == 201


def test_a_session_key_does_not_end_its_session(owner: Api, stranger: Api) -> None:
    file = upload(owner, b"hello", "a.txt", session_id="s")
    owner("POST", "/api/sessions/s/members", {"user_id": stranger.user_id, "role": "viewer"})
    machine = with_key(owner, "read", "write", session_id="s")
    assert_problem(machine("DELETE", "/api/sessions/s"), 403, "forbidden")
    assert stranger("GET", f"/api/files/{file['id']}").status == 200
    assert owner("DELETE", "/api/sessions/s").status == 204
    assert_problem(machine("GET", "/api/files"), 401, "unauthenticated")
