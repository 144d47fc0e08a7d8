"""Users over real HTTP."""

from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.api import UNKNOWN_ID, Api, assert_problem, moment

DEMO = "00000000-0000-7000-8000-000000000001"
NewUser = Callable[..., dict[str, Any]]


def address() -> str:
    return f"{uuid4().hex}@example.org"


def test_a_user_is_created_read_replaced_patched_and_deleted(api: Api) -> None:
    email = address()
    created = api("POST", "/api/users", {"name": " Ada ", "email": email, "role": "operator"})
    assert created.status == 201
    user = created.json
    assert list(user) == ["id", "name", "email", "role", "limits", "created_at", "updated_at", "disabled_at"]
    assert (user["name"], user["email"], user["role"]) == ("Ada", email, "operator")
    assert UUID(user["id"]).version == 7
    path = f"/api/users/{user['id']}"
    assert created.headers["Location"] == f"http://127.0.0.1:{api.port}{path}"
    assert api("GET", path).json == user

    replaced = api("PUT", path, {"name": "Lovelace"}).json
    assert (replaced["name"], replaced["email"], replaced["role"]) == ("Lovelace", None, "operator")
    assert moment(replaced["updated_at"]) > moment(user["updated_at"])
    assert api("PUT", path, {"name": "Lovelace", "role": "member"}).json["role"] == "member"

    assert api("PATCH", path, {"email": email}).json["email"] == email
    patched = api("PATCH", path, {"name": "Ada"}).json
    assert (patched["name"], patched["email"]) == ("Ada", email)
    assert api("PATCH", path, {"email": None}).json["email"] is None
    assert api("PATCH", path, {"role": "operator"}).json["role"] == "operator"

    deleted = api("DELETE", path)
    assert (deleted.status, deleted.body) == (204, b"")
    for method, document in (("GET", None), ("PUT", {"name": "x"}), ("PATCH", {}), ("DELETE", None)):
        assert_problem(api(method, path, document), 404, "not-found")


def test_the_demo_operator_is_there(api: Api) -> None:
    assert api("GET", f"/api/users/{DEMO}").json["role"] == "operator"


def test_an_operator_lists_everyone_in_pages_and_a_member_only_itself(api: Api, new_user: NewUser) -> None:
    made = [new_user(f"Listed {number}")["id"] for number in range(3)]

    pages = [page.json["items"] for page in api.pages("/api/users?limit=2")]
    assert all(len(page) <= 2 for page in pages)
    seen = [item["id"] for page in pages for item in page]
    assert seen == sorted(set(seen))
    assert {DEMO, *made} <= set(seen)

    mine = api.as_user({"id": made[0]})("GET", "/api/users").json
    assert ([item["id"] for item in mine["items"]], mine["next_cursor"]) == ([made[0]], None)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=", "limit=1.5"])
def test_a_limit_out_of_range_is_refused(api: Api, query: str) -> None:
    assert_problem(api("GET", f"/api/users?{query}"), 400, "invalid-input", ("query", "limit"))


def test_an_email_address_is_unique_whatever_its_case(api: Api, new_user: NewUser) -> None:
    email = address()
    new_user(email=email)
    other = new_user()

    assert_problem(api("POST", "/api/users", {"name": "x", "email": email.upper()}), 409, "conflict")

    problem = assert_problem(api("PATCH", f"/api/users/{other['id']}", {"email": email.title()}), 409, "conflict")
    assert problem["detail"] == "Another user already has this email address."


def test_several_users_may_have_no_address(new_user: NewUser) -> None:
    assert new_user()["email"] is new_user()["email"] is None


def test_a_member_sees_and_changes_only_itself(api: Api, new_user: NewUser) -> None:
    me, other = new_user("Me"), new_user("Other")

    member = api.as_user(me)
    assert member("GET", f"/api/users/{me['id']}").json == me
    assert member("PATCH", f"/api/users/{me['id']}", {"name": "I"}).json["name"] == "I"
    assert member("PUT", f"/api/users/{me['id']}", {"name": "I", "role": "member"}).status == 200
    for method, document in (("GET", None), ("PUT", {"name": "x"}), ("PATCH", {"name": "x"}), ("DELETE", None)):
        assert_problem(member(method, f"/api/users/{other['id']}", document), 404, "not-found")
    assert api("GET", f"/api/users/{other['id']}").json == other


def test_a_member_learns_nothing_of_others_by_trying_email_addresses(api: Api, new_user: NewUser) -> None:
    taken, free = address(), address()
    new_user(email=taken)
    me = new_user(email=address())
    member, path = api.as_user(me), f"/api/users/{me['id']}"

    told = [
        assert_problem(member(method, path, {"name": "I", "email": email}), 403, "forbidden")["detail"]
        for method in ("PATCH", "PUT")
        for email in (taken, free)
    ]
    assert len(set(told)) == 1
    assert member("PUT", path, {"name": "I"}).json["email"] == me["email"], "left out, it stays"


def test_a_member_may_not_create_delete_or_promote(api: Api, new_user: NewUser) -> None:
    me = new_user()

    member, path = api.as_user(me), f"/api/users/{me['id']}"
    assert_problem(member("POST", "/api/users", {"name": "x"}), 403, "forbidden")
    assert_problem(member("DELETE", path), 403, "forbidden")
    assert_problem(member("PATCH", path, {"role": "operator"}), 403, "forbidden")
    assert_problem(member("PUT", path, {"name": "x", "role": "operator"}), 403, "forbidden")
    assert api("GET", path).json == me


def test_me_is_the_caller(api: Api, new_user: NewUser) -> None:
    user = new_user()
    assert api.as_user(user)("GET", "/api/me").json == user
    assert api("GET", "/api/me").json["id"] == DEMO


def test_an_operator_cannot_delete_itself(api: Api) -> None:
    assert_problem(api("DELETE", f"/api/users/{DEMO}"), 409, "conflict")


def test_a_user_who_owns_something_is_not_deleted(api: Api, new_user: NewUser) -> None:
    user = new_user()
    api.as_user(user)("POST", "/api/sessions", {"session_id": "s"})

    problem = assert_problem(api("DELETE", f"/api/users/{user['id']}"), 409, "conflict")
    assert problem["detail"].startswith("The user still has 0 files, 0 in the trash, 0 deleted ones and 1 sessions.")

    api.as_user(user)("DELETE", "/api/sessions/s")
    assert api("DELETE", f"/api/users/{user['id']}").status == 204


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "x", "email": "nobody"}, "email"),
        ({"name": "x", "email": "a@" + "b" * 253}, "email"),
        ({"name": "x", "email": "a b@c"}, "email"),
        ({"name": "x", "role": "king"}, "role"),
        ({"name": "x", "id": UNKNOWN_ID}, "id"),
        ({"name": "a\0b"}, "name"),
    ],
)
def test_a_wrong_field_is_named(api: Api, document: dict[str, object], field: str) -> None:
    assert_problem(api("POST", "/api/users", document), 400, "invalid-input", ("body", field))


def test_a_patch_removes_only_what_may_be_absent(api: Api, new_user: NewUser) -> None:
    path = f"/api/users/{new_user()['id']}"

    answer = api("PATCH", path, {"name": None, "role": None, "email": None})
    assert_problem(answer, 400, "invalid-input", ("body", "name"), ("body", "role"))


def test_a_path_that_holds_no_user_id_is_refused(api: Api) -> None:
    assert_problem(api("GET", "/api/users/me"), 400, "invalid-input", ("path", "user_id"))


def test_the_user_header_names_the_caller_in_the_local_stage(api: Api, new_user: NewUser) -> None:
    assert len(api.as_user(new_user())("GET", "/api/users").json["items"]) == 1
    assert_problem(api("GET", "/api/users", X_Landfall_User="me"), 401, "unauthenticated")
    assert_problem(api("GET", "/api/users", X_Landfall_User=""), 401, "unauthenticated")
    assert_problem(api("GET", "/api/users", X_Landfall_User=UNKNOWN_ID), 401, "unauthenticated")


def test_a_user_header_that_comes_twice_names_nobody(api: Api, new_user: NewUser) -> None:
    connection = HTTPConnection("127.0.0.1", api.port, timeout=60)
    connection.putrequest("GET", "/api/me")
    for user in (new_user("Ada"), new_user("Eve")):
        connection.putheader("X-Landfall-User", user["id"])
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


def test_a_deployment_without_identity_refuses_every_caller(serve: Callable[..., Any], api_database_url: str) -> None:
    with serve(api_database_url, "prod") as api:
        problem = assert_problem(api("GET", "/api/users"), 401, "unauthenticated")
        assert "LANDFALL_IDENTITY" in problem["detail"]
        assert_problem(api("GET", "/api/users", X_Landfall_User=DEMO), 401, "unauthenticated")
        assert_problem(api("POST", "/api/sessions", {}), 401, "unauthenticated")
        assert api("GET", "/health").status == 200
