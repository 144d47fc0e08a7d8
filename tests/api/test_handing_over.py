"""Files are handed over to another user."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib.services.jobs import hand_over
from tests.support.api import UNKNOWN_ID, Api, assert_problem
from tests.support.files import act, detail, read, upload
from tests.support.sharing import Shared, new_shared
from tests.support.users import limit, new_member, used


@pytest.fixture
def shared(owner: Api) -> Shared:
    return new_shared(owner)


def give(giver: Api, file: dict[str, Any], to: Api) -> Any:
    return giver("POST", f"/api/files/{file['id']}/hand-over", {"user_id": to.user_id})


def test_an_operator_hands_any_file_over(files_api: Api, shared: Shared, stranger: Api) -> None:
    file = shared.file
    before, etag = used(shared.owner), files_api("GET", f"/api/files/{file['id']}").headers["ETag"]
    given = give(files_api, file, stranger)
    assert given.status == 200, given.body
    assert (given.json["owner_id"], given.json["session_id"]) == (stranger.user_id, None)
    assert (given.json["key"], given.json["metadata"]) == (file["key"], file["metadata"])
    assert used(stranger) == (1, 5)
    assert used(shared.owner) == (before[0] - 1, before[1] - 5)
    assert_problem(shared.owner("GET", f"/api/files/{file['id']}"), 404, "not-found")
    assert read(stranger, file) == b"in it"
    assert stranger("GET", f"/api/files/{file['id']}").headers["ETag"] != etag
    assert_problem(give(files_api, file, stranger), 409, "conflict")


def test_nobody_else_hands_anything_over(files_api: Api, shared: Shared, stranger: Api) -> None:
    """Else a member could fill another's quota, and give it what it never asked for."""
    viewer, editor = shared.member(files_api, "viewer"), shared.member(files_api, "editor")
    for giver in (shared.owner, viewer, editor):
        for receiver in (viewer, stranger):
            assert_problem(give(giver, shared.file, receiver), 403, "forbidden")
    assert_problem(give(stranger, shared.file, viewer), 404, "not-found")
    path, document = f"{shared.path}/hand-over", {"user_id": viewer.user_id}
    assert_problem(shared.owner("POST", path, document), 403, "forbidden")
    assert_problem(editor("POST", f"{path}?owner_id={shared.owner.user_id}", document), 403, "forbidden")
    assert_problem(stranger("POST", f"{path}?owner_id={shared.owner.user_id}", document), 404, "not-found")
    assert detail(shared.owner, shared.file)["session_id"] == shared.session_id


def test_an_operator_is_not_asked_about_quotas(files_api: Api, shared: Shared) -> None:
    viewer = shared.member(files_api, "viewer")
    limit(files_api, viewer, max_bytes=4)
    assert give(files_api, shared.file, viewer).status == 200


def test_a_pending_and_a_deleted_file_go_on_with_their_new_owner(files_api: Api, owner: Api, stranger: Api) -> None:
    begun = owner("POST", "/api/files", {"name": "a", "size": 5}).json
    gone = upload(owner, b"gone", "gone.txt")
    owner("DELETE", f"/api/files/{gone['id']}")
    for file in (begun, gone):
        assert give(files_api, file, stranger).status == 200
    assert stranger("POST", f"/api/files/{begun['id']}/upload").status == 200
    assert used(owner) == (0, 0)
    assert used(stranger) == (1, 5)
    act(stranger, gone, "restore")
    assert read(stranger, gone) == b"gone"


def test_a_file_of_nobody_and_a_user_of_nowhere(files_api: Api, stranger: Api, owner: Api) -> None:
    file = upload(owner, b"x", "x.txt")
    path = f"/api/files/{file['id']}/hand-over"
    assert_problem(files_api("POST", path, {"user_id": UNKNOWN_ID}), 422, "unprocessable")
    assert_problem(files_api("POST", path, {}), 400, "invalid-input", ("body", "user_id"))
    unknown = f"/api/files/{UNKNOWN_ID}/hand-over"
    assert_problem(files_api("POST", unknown, {"user_id": stranger.user_id}), 404, "not-found")


def test_nothing_is_given_to_a_disabled_user(files_api: Api, shared: Shared, stranger: Api) -> None:
    """It may be about to be deleted, with all that it has."""
    files_api("PATCH", f"/api/users/{stranger.user_id}", {"disabled": True})
    assert_problem(give(files_api, shared.file, stranger), 422, "unprocessable")
    path = f"{shared.path}/hand-over?owner_id={shared.owner.user_id}"
    for receiver in (stranger.user_id, UNKNOWN_ID):
        assert_problem(files_api("POST", path, {"user_id": receiver}), 422, "unprocessable")


def test_of_two_receivers_at_once_one_has_the_file(files_api: Api, owner: Api) -> None:
    file = upload(owner, b"x", "x.txt")
    receivers = [new_member(files_api) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda to: give(files_api, file, to), receivers))
    assert {answer.status for answer in answers} <= {200, 409}
    holder = detail(files_api, file)["owner_id"]
    assert [used(one) for one in receivers if one.user_id == holder] == [(1, 1)]
    assert [used(one) for one in receivers if one.user_id != holder] == [(0, 0)] * 3
    assert used(owner) == (0, 0)


def test_a_session_is_handed_over_in_steps(
    files_api: Api, shared: Shared, stranger: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_over, "_AT_ONCE", 2)
    for number in range(4):
        upload(shared.owner, b"more", f"{number}", session_id=shared.session_id)
    before = used(shared.owner)
    shared.owner("DELETE", f"/api/files/{shared.file['id']}")
    path = f"{shared.path}/hand-over?owner_id={shared.owner.user_id}"
    job = files_api("POST", path, {"user_id": stranger.user_id})
    assert (job.status, job.json["state"], job.json["done"]) == (202, "done", 4)
    assert used(stranger) == (4, 16)
    # A deleted file stays with its owner, and with it whatever is put at its key again.
    act(shared.owner, shared.file, "restore")
    assert used(shared.owner) == (before[0] - 4, before[1] - 16)


def test_an_operator_hands_over_anybodys_session(files_api: Api, shared: Shared, stranger: Api) -> None:
    path = f"{shared.path}/hand-over?owner_id={shared.owner.user_id}"
    job = files_api("POST", path, {"user_id": stranger.user_id}).json
    assert (job["state"], job["done"]) == ("done", 1)
    assert detail(stranger, shared.file)["owner_id"] == stranger.user_id
