"""Users are deleted, with their files or after these were handed over."""

from typing import Any

import pytest
from sqlalchemy import Engine, text

from chalicelib.db.engine import transaction
from tests.support.api import UNKNOWN_ID, Api, assert_problem
from tests.support.files import find_by_key, read, upload
from tests.support.notifications import s3_record
from tests.support.recording import deliver
from tests.support.sharing import new_shared
from tests.support.users import used


def path_of(user: Api, query: str = "") -> str:
    return f"/api/users/{user.user_id}{query}"


def done(answer: Any) -> Any:
    assert answer.status == 202, answer.body
    assert answer.json["state"] == "done", answer.json
    return answer.json


def empty_trash(member: Api) -> None:
    assert member("DELETE", "/api/trash").json["state"] == "done"


def test_what_is_left_is_told_until_the_trash_is_empty(files_api: Api, owner: Api) -> None:
    first, second = (upload(owner, b"x", f"{name}.txt", metadata='{"my": "secret"}') for name in "ab")
    owner("POST", "/api/sessions", {"session_id": "s"})
    owner("DELETE", f"/api/files/{first['id']}")

    def told() -> str:
        detail: str = assert_problem(files_api("DELETE", path_of(owner)), 409, "conflict")["detail"]
        return detail.partition(". ")[0]

    assert told() == "The user still has 1 files, 1 in the trash, 0 deleted ones and 1 sessions"
    owner("DELETE", f"/api/files/{second['id']}")
    assert told() == "The user still has 0 files, 2 in the trash, 0 deleted ones and 1 sessions"
    empty_trash(owner)
    assert told() == "The user still has 0 files, 0 in the trash, 0 deleted ones and 1 sessions"
    owner("DELETE", "/api/sessions/s")
    assert files_api("DELETE", path_of(owner)).status == 204
    assert_problem(files_api("GET", path_of(owner)), 404, "not-found")
    for file in (first, second):
        left = find_by_key(files_api, file["key"])
        assert (left["owner_id"], left["session_id"], left["name"], left["metadata"]) == (None, None, "erased", {})


def test_files_are_erased_with_the_user(files_api: Api, owner: Api, s3: Any, engine: Engine) -> None:
    shared = new_shared(owner)
    viewer = shared.member(files_api, "viewer")
    trashed = upload(owner, b"trashed", "trashed.txt")
    owner("DELETE", f"/api/files/{trashed['id']}")
    owner("POST", "/api/files", {"name": "pending", "size": 5})
    owner("POST", f"/api/files/{shared.file['id']}/shares", {})

    done(files_api("DELETE", path_of(owner, "?files=erase")))
    assert_problem(files_api("GET", path_of(owner)), 404, "not-found")
    held = s3.list_object_versions(Bucket="versioned", Prefix=f"{owner.user_id}/")
    assert (held.get("Versions", []), held.get("DeleteMarkers", [])) == ([], [])
    with transaction(engine) as session:
        rows = session.execute(text("SELECT * FROM files WHERE key ^@ :folder"), {"folder": f"{owner.user_id}/"}).all()
    assert len(rows) == 5
    assert {(row.state, row.owner_id, row.name, str(row.metadata), len(row.tags)) for row in rows} == {
        ("deleted", None, "erased", "{}", 0)
    }
    assert viewer("GET", "/api/sessions?shared=true").json["items"] == []


def test_files_are_handed_over_before_the_user_is_deleted(files_api: Api, owner: Api, stranger: Api) -> None:
    shared = new_shared(owner)
    trashed = upload(owner, b"trashed", "trashed.txt")
    owner("DELETE", f"/api/files/{trashed['id']}")

    job = done(files_api("DELETE", path_of(owner, f"?files=hand-over&to={stranger.user_id}")))
    assert (job["kind"], job["done"]) == ("delete_user", 4)
    assert_problem(files_api("GET", path_of(owner)), 404, "not-found")
    assert used(stranger) == (3, 19)
    assert read(stranger, shared.file) == b"in it"
    assert stranger("POST", f"/api/files/{trashed['id']}/restore", {}).status == 200


def test_an_event_that_comes_after_its_user_was_deleted_falls_to_the_operators(
    files_api: Api, owner: Api, engine: Engine
) -> None:
    begun = owner("POST", "/api/files", {"name": "late.txt", "size": 5}).json
    done(files_api("DELETE", path_of(owner, "?files=erase")))
    new = f"{owner.user_id}/dropped later"
    for number, key in enumerate((begun["key"], new)):
        fields = {"bucket": "versioned", "size": 5, "version_id": f"late-{number}", "sequencer": "0F"}
        deliver(engine, s3_record("ObjectCreated:Put", key, **fields))
        late = find_by_key(files_api, key)
        assert (late["state"], late["owner_id"]) == ("stored", None)


def test_only_operators_delete_users_and_never_themselves(files_api: Api, owner: Api) -> None:
    me = files_api("GET", "/api/me").json["id"]
    for query in ("", "?files=erase", f"?files=hand-over&to={UNKNOWN_ID}"):
        assert_problem(owner("DELETE", path_of(owner, query)), 403, "forbidden")
        assert_problem(files_api("DELETE", f"/api/users/{me}{query}"), 409, "conflict")
        assert_problem(files_api("DELETE", f"/api/users/{UNKNOWN_ID}{query}"), 404, "not-found")


@pytest.mark.parametrize("query", ["files=hand-over", f"files=erase&to={UNKNOWN_ID}", f"to={UNKNOWN_ID}"])
def test_to_goes_with_handing_over_alone(files_api: Api, owner: Api, query: str) -> None:
    assert_problem(files_api("DELETE", path_of(owner, f"?{query}")), 400, "invalid-input", ("query", ""))
    assert_problem(files_api("DELETE", path_of(owner, "?files=keep")), 400, "invalid-input", ("query", "files"))


def test_files_go_to_somebody_else_who_is_there(files_api: Api, owner: Api) -> None:
    query = "?files=hand-over&to="
    assert_problem(files_api("DELETE", path_of(owner, query + owner.user_id)), 409, "conflict")
    assert_problem(files_api("DELETE", path_of(owner, query + UNKNOWN_ID)), 422, "unprocessable")
