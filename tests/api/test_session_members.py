"""With whom a session is shared: adding, changing, leaving, and what nobody learns by it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.support.api import UNKNOWN_ID, Answer, Api, assert_problem, moment
from tests.support.sharing import Shared, new_shared
from tests.support.users import new_member


@pytest.fixture
def shared(owner: Api) -> Shared:
    return new_shared(owner)


def address() -> str:
    return f"{uuid4()}@example.org"


def members(api: Api, shared: Shared) -> list[Any]:
    return api.items(f"{shared.path}/members?owner_id={shared.owner.user_id}&limit=2")


def can_see(member: Api, shared: Shared) -> bool:
    return member("GET", f"/api/files/{shared.file['id']}").status == 200


def test_a_member_is_added_changed_and_removed_and_each_counts_at_once(shared: Shared, stranger: Api) -> None:
    assert not can_see(stranger, shared)
    added = shared.put(user_id=stranger.user_id, role="viewer")
    assert added.status == 201
    assert list(added.json) == ["id", "user_id", "email", "role", "created_at", "updated_at"]
    path = f"{shared.path}/members/{added.json['id']}"
    assert added.headers["Location"].endswith(path)
    assert can_see(stranger, shared)

    again = shared.put(user_id=stranger.user_id, role="editor")
    assert (again.status, again.json["id"], again.json["role"]) == (200, added.json["id"], "editor")
    patched = shared.owner("PATCH", path, {"role": "viewer"}).json
    assert moment(patched["updated_at"]) > moment(added.json["updated_at"])
    assert stranger("PATCH", f"/api/files/{shared.file['id']}", {"name": "x"}).status == 403
    assert members(shared.owner, shared) == [patched]

    assert shared.owner("DELETE", path).status == 204
    assert not can_see(stranger, shared)
    for method, document in (("PATCH", {"role": "viewer"}), ("DELETE", None)):
        assert_problem(shared.owner(method, path, document), 404, "not-found")


def test_a_member_finds_the_session_with_its_owner_and_leaves_it(shared: Shared, stranger: Api) -> None:
    stranger("POST", "/api/sessions", {"session_id": "own"})
    shared.share(stranger, "editor")
    (found,) = stranger("GET", "/api/sessions?shared=true").json["items"]
    own = shared.owner("GET", shared.path).json
    assert found == own | {"role": "editor"}
    assert own["role"] == "owner"
    named = f"{shared.path}?owner_id={found['owner_id']}"
    assert stranger("GET", named).json == found
    assert stranger("GET", f"{shared.path}/usage?owner_id={found['owner_id']}").json["files"] == 1
    assert [one["session_id"] for one in stranger("GET", "/api/sessions").json["items"]] == ["own"]

    me = f"{shared.path}/members/me?owner_id={found['owner_id']}"
    assert stranger("DELETE", me).status == 204
    assert_problem(stranger("DELETE", me), 404, "not-found")
    assert_problem(stranger("GET", named), 404, "not-found")
    assert stranger("GET", "/api/sessions?shared=true").json["items"] == []
    assert not can_see(stranger, shared)
    assert_problem(shared.owner("DELETE", f"{shared.path}/members/me"), 404, "not-found")


def test_two_sessions_of_one_id_are_told_apart_by_their_owner(shared: Shared, stranger: Api) -> None:
    shared.share(stranger, "viewer")
    mine = stranger("POST", "/api/session", {"session_id": shared.session_id}).json
    assert stranger("GET", shared.path).json == mine
    theirs = stranger("GET", f"{shared.path}?owner_id={shared.owner.user_id}").json
    assert (mine["owner_id"], theirs["owner_id"]) == (stranger.user_id, shared.owner.user_id)


def test_members_see_each_other_but_no_address_and_add_nobody(files_api: Api, shared: Shared, stranger: Api) -> None:
    editor = shared.member(files_api, "editor")
    mail = shared.put(email=address(), role="viewer").json
    seen = members(editor, shared)
    assert [one["user_id"] for one in seen] == [editor.user_id, None]
    assert [one["email"] for one in seen] == [None, None]
    assert members(shared.owner, shared)[1] == mail
    named = f"{shared.path}/members?owner_id={shared.owner.user_id}"
    document = {"user_id": stranger.user_id, "role": "viewer"}
    assert_problem(editor("POST", named, document), 403, "forbidden")
    one = f"{shared.path}/members/{mail['id']}?owner_id={shared.owner.user_id}"
    for method, body in (("PATCH", {"role": "editor"}), ("DELETE", None)):
        assert_problem(editor(method, one, body), 403, "forbidden")


def test_operators_manage_the_members_of_any_session(files_api: Api, shared: Shared, stranger: Api) -> None:
    owner_id = shared.owner.user_id
    document = {"user_id": stranger.user_id, "role": "viewer"}
    added = files_api("POST", f"{shared.path}/members?owner_id={owner_id}", document)
    assert added.status == 201
    assert members(files_api, shared) == [added.json]
    assert files_api("DELETE", f"{shared.path}/members/{added.json['id']}?owner_id={owner_id}").status == 204
    assert files_api("PATCH", f"{shared.path}?owner_id={owner_id}", {"name": "Named"}).json["name"] == "Named"


def without_times(answer: Answer, email: str) -> tuple[Any, ...]:
    member = answer.json
    return (answer.status, member["user_id"], member["email"] == email.lower(), member["role"], sorted(answer.headers))


def test_no_answer_and_no_list_tells_which_addresses_are_known(files_api: Api, shared: Shared) -> None:
    known, unknown = "K" + address(), "U" + address()
    ada = new_member(files_api, email=known)
    told = [without_times(shared.put(email=email, role="viewer"), email) for email in (known, unknown)]
    assert told[0] == told[1] == (201, None, True, "viewer", told[0][4])
    again = [without_times(shared.put(email=email.upper(), role="editor"), email) for email in (known, unknown)]
    assert again[0] == again[1]
    assert [one["user_id"] for one in members(shared.owner, shared)] == [None, None]
    for one in members(shared.owner, shared):
        patched = shared.owner("PATCH", f"{shared.path}/members/{one['id']}", {"role": "viewer"}).json
        assert (patched["user_id"], patched["email"]) == (None, one["email"])

    assert can_see(ada, shared)
    seen = members(ada, shared)
    assert [(one["user_id"], one["email"]) for one in seen] == [(ada.user_id, known.lower()), (None, None)]


def test_whoever_gets_an_address_that_was_named_is_let_in(files_api: Api, shared: Shared) -> None:
    first, second = address(), address()
    for email in (first, second):
        shared.put(email=email, role="viewer")
    born = new_member(files_api, email=first)
    moved = new_member(files_api)
    assert can_see(born, shared)
    assert not can_see(moved, shared)
    files_api("PATCH", f"/api/users/{moved.user_id}", {"email": second})
    assert can_see(moved, shared)
    assert new_member(files_api).items("/api/sessions?shared=true") == []


def test_an_address_that_is_named_while_its_user_is_made_lets_the_user_in(files_api: Api, shared: Shared) -> None:
    emails = [address() for _ in range(8)]
    with ThreadPoolExecutor(16) as pool:
        made = [pool.submit(new_member, files_api, email=email) for email in emails]
        named = [pool.submit(shared.put, email=email, role="viewer") for email in emails]
        assert {one.result().status for one in named} == {201}
        users = [one.result() for one in made]
    assert [can_see(user, shared) for user in users] == [True] * 8


def test_one_of_several_requests_at_once_adds_the_member(shared: Shared, stranger: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shared.put(user_id=stranger.user_id, role="viewer"), range(16)))
    assert sorted(answer.status for answer in answers) == [200] * 15 + [201]
    assert len(members(shared.owner, shared)) == 1


def test_members_go_with_the_session_and_with_the_user(files_api: Api, shared: Shared, stranger: Api) -> None:
    gone = shared.member(files_api, "viewer")
    shared.share(stranger, "viewer")
    assert files_api("DELETE", f"/api/users/{gone.user_id}").status == 204
    assert [one["user_id"] for one in members(shared.owner, shared)] == [stranger.user_id]
    assert shared.owner("DELETE", shared.path).status == 204
    assert not can_see(stranger, shared)
    assert stranger("GET", "/api/sessions?shared=true").json["items"] == []
    shared.owner("POST", "/api/sessions", {"session_id": shared.session_id})
    assert members(shared.owner, shared) == [], "another session of the same id is shared with nobody"


def test_an_owner_is_no_member_of_its_own_session(files_api: Api) -> None:
    email = address()
    owner = new_member(files_api, email=email)
    shared = new_shared(owner)
    assert_problem(shared.put(user_id=owner.user_id, role="viewer"), 422, "unprocessable")
    assert shared.put(email=email, role="viewer").status == 201, "or the answer would tell"
    assert owner.items("/api/sessions?shared=true") == []
    assert_problem(owner("GET", f"/api/files/{UNKNOWN_ID}"), 404, "not-found")
    assert owner("PATCH", f"/api/files/{shared.file['id']}", {"name": "x"}).status == 200


def test_a_user_who_is_not_there_is_refused(shared: Shared) -> None:
    assert_problem(shared.put(user_id=UNKNOWN_ID, role="viewer"), 422, "unprocessable")


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"role": "viewer"}, ""),
        ({"role": "viewer", "user_id": UNKNOWN_ID, "email": "a@b"}, ""),
        ({"email": "a@b"}, "role"),
        ({"email": "a@b", "role": "owner"}, "role"),
        ({"email": "nobody", "role": "viewer"}, "email"),
        ({"user_id": "me", "role": "viewer"}, "user_id"),
    ],
)
def test_a_wrong_field_is_named(owner: Api, document: dict[str, str], field: str) -> None:
    owner("POST", "/api/sessions", {"session_id": "s"})
    answer = owner("POST", "/api/sessions/s/members", document)
    assert_problem(answer, 400, "invalid-input", ("body", field))


def test_members_of_a_session_that_is_not_there_are_not_found(owner: Api) -> None:
    path = "/api/sessions/none/members"
    assert_problem(owner("GET", path), 404, "not-found")
    assert_problem(owner("POST", path, {"email": address(), "role": "viewer"}), 404, "not-found")
    for method, document in (("PATCH", {"role": "viewer"}), ("DELETE", None)):
        assert_problem(owner(method, f"{path}/{UNKNOWN_ID}", document), 404, "not-found")
    assert_problem(owner("PATCH", f"{path}/me", {"role": "viewer"}), 400, "invalid-input", ("path", "member_id"))
