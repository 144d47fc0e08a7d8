"""Users as whom nobody may act: with the next request, whatever it brings."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.api.routes import ROUTES
from tests.support.callers import Caller
from tests.support.identified import Service, published_service
from tests.support.things import promote

_AS_AN_OLDER_RELEASE = (
    "INSERT INTO users (id, name, created_at, updated_at) VALUES (CAST(:id AS uuid), 'Ada', now(), now())",
    """INSERT INTO identities (issuer, subject, user_id, created_at)
    VALUES (:issuer, :subject, CAST(:id AS uuid), now())""",
)

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def ada() -> Caller:
    return Caller().new_member()


def disable(user: Caller, disabled: bool = True, by: Caller | None = None) -> Any:
    return (by or Caller())("PATCH", "/api/users/{user_id}", {"disabled": disabled}, user_id=user.user_id)


def assert_disabled(answer: Any) -> None:
    assert (answer.status, answer.json["type"]) == (403, "/problems/account-disabled")
    assert answer.json["detail"] == "This account is disabled. An operator can enable it again."


def test_a_disabled_user_and_its_keys_are_refused_until_it_is_enabled(ada: Caller) -> None:
    machine, _ = ada.new_key("read", "write")
    made = disable(ada)
    assert made.status == 200
    assert made.json["disabled_at"] == made.json["updated_at"]
    for caller in (ada, machine):
        assert_disabled(caller("GET", "/api/me"))
        assert_disabled(caller("POST", "/api/files", {"name": "a"}))
        assert_disabled(caller("POST", "/api/credentials"))
    assert disable(ada).json["disabled_at"] == made.json["disabled_at"], "doing it again changes nothing"

    assert disable(ada, False).json["disabled_at"] is None
    assert machine("GET", "/api/me").status == 200
    acts = [item["act"] for item in ada("GET", "/api/trail").json["items"]]
    assert acts[:3] == ["enable_user", "change_user", "disable_user"]


def test_a_role_that_changes_with_that_is_in_the_trail_as_well(ada: Caller) -> None:
    for disabled, role in ((True, "operator"), (False, "member")):
        changes = {"role": role, "disabled": disabled}
        changed = Caller()("PATCH", "/api/users/{user_id}", changes, user_id=ada.user_id)
        assert (changed.status, changed.json["role"]) == (200, role)
    items = ada("GET", "/api/trail").json["items"]
    acts = [{item["act"] for item in items[start : start + 2]} for start in (0, 2)]
    assert acts == [{"enable_user", "role"}, {"disable_user", "role"}]
    assert {item["subject_id"] for item in items[:4]} == {ada.user_id}


def test_every_route_that_asks_who_calls_refuses(ada: Caller) -> None:
    """Before it reads anything of the request, so that nothing of it tells."""
    disable(ada)
    asked = [route for route in ROUTES if not route.view.endpoint.anonymous]
    assert len(asked) > 60
    for route in asked:
        names = {part[1:-1]: "x" for part in route.path.split("/") if part.startswith("{")}
        assert_disabled(ada(route.method, route.path, **names))


def test_a_wrong_key_of_a_disabled_user_doesn_t_tell_that_it_is(ada: Caller) -> None:
    _, key = ada.new_key("read")
    disable(ada)
    wrong = Caller({"Authorization": f"Bearer {key['secret'][:-1]}{'A' if key['secret'][-1] != 'A' else 'B'}"})
    assert wrong("GET", "/api/me").json["detail"] == "There is no such API key."


def test_only_operators_disable_others_and_never_themselves(ada: Caller) -> None:
    grace, hopper = Caller().new_member(role="operator"), Caller().new_member(role="operator")
    assert disable(ada, by=ada).status == 403
    assert disable(ada, False, by=ada).status == 200, "as it is"
    assert disable(grace, by=ada).status == 404
    assert disable(grace, by=grace).status == 409
    assert disable(grace, by=hopper).status == 200
    assert_disabled(disable(hopper, by=grace))
    refused = hopper("PATCH", "/api/users/{user_id}", {"disabled": None}, user_id=ada.user_id)
    assert (refused.status, refused.json["errors"][0]["field"]) == (400, "disabled")
    demo = "00000000-0000-7000-8000-000000000001"
    assert hopper("PATCH", "/api/users/{user_id}", {"disabled": True}, user_id=demo).status == 409


def test_of_two_operators_who_disable_each_other_at_once_one_is_left() -> None:
    for _ in range(5):
        one, other = (Caller().new_member(role="operator") for _ in range(2))
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda pair: disable(pair[0], by=pair[1]), [(one, other), (other, one)]))
        assert sorted(answer.status for answer in answers) == [200, 403]


def test_what_a_disabled_user_shares_is_not_shared_meanwhile(ada: Caller) -> None:
    grace = Caller().new_member("Grace")
    ada("POST", "/api/sessions", {"session_id": "s"})
    ada("POST", "/api/sessions/{session_id}/members", {"user_id": grace.user_id, "role": "editor"}, session_id="s")
    file = ada.new_file(session_id="s")
    named = {"owner_id": ada.user_id, "session_id": "s"}

    def seen() -> tuple[int, int, int, int]:
        sessions = grace("GET", "/api/sessions", query={"shared": "true"}).json["items"]
        return (
            len(sessions),
            grace("GET", "/api/files", query=named).status,
            grace("GET", "/api/files/{file_id}", file_id=file["id"]).status,
            grace("POST", "/api/files", {"name": "a", **named}).status,
        )

    assert seen() == (1, 200, 200, 201)
    disable(ada)
    assert seen() == (0, 404, 404, 404)
    disable(ada, False)
    assert seen() == (1, 200, 200, 201)


@pytest.fixture
def service(new_migrated_database: Callable[[], str], tmp_path: Path) -> Iterator[Service]:
    with published_service(new_migrated_database(), tmp_path) as service:
        yield service


def asked(service: Service, token: str, resource: str = "/api/me", method: str = "GET", **parts: Any) -> Any:
    answer = service.ask(token, resource, method, **parts)
    return answer["statusCode"], json.loads(answer["body"] or "null")


def change(service: Service, operator: str, method: str, user_id: str, body: Any = None, **query: str) -> Any:
    return asked(
        service,
        operator,
        "/api/users/{user_id}",
        method,
        pathParameters={"user_id": user_id},
        headers={"Content-Type": "application/json"},
        body=body and json.dumps(body),
        multiValueQueryStringParameters={name: [value] for name, value in query.items()} or None,
    )


def test_a_good_token_makes_no_new_user_of_a_deleted_one_until_an_operator_lets_it_in(service: Service) -> None:
    ada, operator = service.token("ada"), service.token("operator")
    me, op = (asked(service, token)[1]["id"] for token in (ada, operator))
    promote(op)
    assert change(service, operator, "PATCH", me, {"disabled": True})[0] == 200
    assert asked(service, ada)[1]["type"] == "/problems/account-disabled"
    assert change(service, operator, "DELETE", me)[0] == 204

    status, problem = asked(service, ada)
    assert (status, problem["type"]) == (403, "/problems/account-disabled")
    assert problem["detail"].startswith("This account was deleted.")
    (barred,) = asked(service, operator, "/api/barred-identities")[1]["items"]
    assert barred["user_id"] == me
    path = {"pathParameters": {"identity_id": barred["id"]}}
    assert asked(service, operator, "/api/barred-identities/{identity_id}", "DELETE", **path)[0] == 204
    assert asked(service, operator, "/api/barred-identities/{identity_id}", "DELETE", **path)[0] == 404
    status, again = asked(service, ada)
    assert (status, again["id"] != me) == (200, True)


def test_who_is_barred_twice_is_so_once_and_about_the_last_user(service: Service) -> None:
    """A release that looks for no barred identities makes a new user of it, which is deleted as well."""
    ada, operator = service.token("ada"), service.token("operator")
    first, op = (asked(service, token)[1]["id"] for token in (ada, operator))
    promote(op)
    with runtime.transaction() as session:
        names = session.execute(text("SELECT issuer, subject FROM identities WHERE user_id = :id"), {"id": first}).one()
    assert change(service, operator, "DELETE", first)[0] == 204
    (barred,) = asked(service, operator, "/api/barred-identities")[1]["items"]

    second = str(uuid4())
    with runtime.transaction() as session:
        for statement in _AS_AN_OLDER_RELEASE:
            session.execute(text(statement), {"id": second, **names._mapping})
    assert asked(service, ada)[1]["id"] == second
    assert change(service, operator, "DELETE", second)[0] == 204
    (again,) = asked(service, operator, "/api/barred-identities")[1]["items"]
    assert (again["id"], again["user_id"]) == (barred["id"], second)
    assert asked(service, ada)[0] == 403
    path = {"pathParameters": {"identity_id": barred["id"]}}
    assert asked(service, operator, "/api/barred-identities/{identity_id}", "DELETE", **path)[0] == 204
    assert asked(service, ada)[0] == 200


def test_a_user_who_goes_on_calling_doesn_t_win_against_its_deletion(service: Service) -> None:
    """Requests and the deletion at once: what was let in before is gone as well, and nobody is made anew."""
    ada, operator = service.token("ada"), service.token("operator")
    me, op = (asked(service, token)[1]["id"] for token in (ada, operator))
    promote(op)
    upload = {"headers": {"Content-Type": "application/json"}, "body": '{"name": "a", "size": 5}'}

    def go_on(_: int) -> set[int]:
        return {asked(service, ada, "/api/files", "POST", **upload)[0] for _ in range(15)}

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(go_on, number) for number in range(3)]
        status, job = change(service, operator, "DELETE", me, files="erase")
        said = set().union(*(answer.result() for answer in answers))
    assert (status, job["state"]) == (202, "done"), job
    assert said <= {201, 403}, said
    assert asked(service, ada)[0] == 403
    users = asked(service, operator, "/api/users")[1]["items"]
    assert [user["id"] for user in users] == [op]
