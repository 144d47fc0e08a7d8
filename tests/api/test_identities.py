"""Callers with tokens of an identity provider, at the whole API."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from chalicelib import runtime
from tests.support.api import UNKNOWN_ID
from tests.support.backend import emulated_store
from tests.support.identified import KEYS, Service, identified_service


@pytest.fixture
def service(new_migrated_database: Callable[[], str], tmp_path: Path) -> Iterator[Service]:
    with emulated_store(tmp_path) as (s3, _):
        s3.create_bucket(Bucket=KEYS)
        with identified_service(new_migrated_database(), s3) as service:
            yield service


def test_a_token_makes_a_member_who_sees_what_it_owns(service: Service) -> None:
    service.publish()
    ada, bob = service.token("ada", name="Ada", email="ada@example.com"), service.token("bob")
    me = json.loads(service.ask(ada)["body"])
    assert (me["name"], me["email"], me["role"]) == ("Ada", "ada@example.com", "member")
    assert json.loads(service.ask(ada)["body"])["id"] == me["id"]

    json_body = {"body": '{"session_id": "s"}', "headers": {"Content-Type": "application/json"}}
    assert service.ask(ada, "/api/sessions", "POST", **json_body)["statusCode"] == 201
    assert len(json.loads(service.ask(ada, "/api/sessions")["body"])["items"]) == 1
    assert json.loads(service.ask(bob, "/api/sessions")["body"])["items"] == []


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic YTpi", "token", "Bearer not-a-token", "Bearer a b", "Bearer a,Bearer b"],
)
def test_without_one_good_token_nobody_is_known(service: Service, authorization: str | None) -> None:
    service.publish()
    answer = service.ask(authorization)
    assert (answer["statusCode"], json.loads(answer["body"])["type"]) == (401, "/problems/unauthenticated")
    assert answer["headers"]["WWW-Authenticate"] == "Bearer"


def test_no_header_of_the_local_stage_counts(service: Service) -> None:
    service.publish()
    me = json.loads(service.ask(service.token("ada"))["body"])
    answer = service.ask(None, headers={"X-Landfall-User": me["id"]})
    assert answer["statusCode"] == 401


def test_a_provider_without_keys_is_unavailable_and_its_tokens_no_fault_of_the_caller(service: Service) -> None:
    answer = service.ask(service.token("ada"))
    assert (answer["statusCode"], json.loads(answer["body"])["type"]) == (503, "/problems/unavailable")
    assert "Retry-After" in answer["headers"]


def test_a_new_key_of_the_provider_is_found(service: Service) -> None:
    service.publish()
    assert service.ask(service.token("ada"))["statusCode"] == 200
    service.provider.rotate("second")
    service.publish()
    runtime.callers().keys.clock = lambda: time.monotonic() + 31
    assert service.ask(service.token("ada"))["statusCode"] == 200


def test_routes_for_anybody_still_answer_everyone(service: Service) -> None:
    assert service.ask(None, "/health")["statusCode"] == 200


def test_the_first_time_that_somebody_comes_is_in_the_trail_once(service: Service) -> None:
    service.publish()
    ada = service.token("ada", name="Ada", email="ada@example.com")
    service.ask(ada)
    (item,) = json.loads(service.ask(ada, "/api/trail")["body"])["items"]
    me = json.loads(service.ask(ada)["body"])
    assert (item["act"], item["actor_id"], item["subject_id"]) == ("first_sight", me["id"], me["id"])
    assert "ada@" not in str(item)


def test_who_comes_with_a_request_that_fails_is_known_all_the_same(service: Service) -> None:
    service.publish()
    ada = service.token("ada", name="Ada")
    nothing = {"pathParameters": {"file_id": UNKNOWN_ID}}
    assert [service.ask(ada, "/api/files/{file_id}/versions", **nothing)["statusCode"] for _ in range(2)] == [404, 404]
    ((user_id,),) = users_named("Ada")
    assert json.loads(service.ask(ada)["body"])["id"] == user_id
    verified = service.token("ada", email="ada@example.com")
    assert service.ask(verified, "/api/files/{file_id}/versions", **nothing)["statusCode"] == 404
    assert json.loads(service.ask(ada)["body"])["email"] == "ada@example.com"
    (address, made) = json.loads(service.ask(ada, "/api/trail")["body"])["items"]
    assert (made["act"], address["act"]) == ("first_sight", "change_user")


def users_named(name: str) -> list[tuple[str]]:
    with runtime.engine().connect() as connection:
        return [(str(row.id),) for row in connection.execute(text("SELECT id FROM users WHERE name = :n"), {"n": name})]


def test_the_first_request_of_all_finds_what_was_shared_with_its_address(service: Service) -> None:
    service.publish()
    ada, headers = service.token("ada"), {"Content-Type": "application/json"}

    def post(resource: str, document: dict[str, object], **parts: str) -> Any:
        answer = service.ask(
            ada, resource, "POST", body=json.dumps(document), headers=headers, pathParameters=parts or None
        )
        assert answer["statusCode"] == 201, answer
        return json.loads(answer["body"])

    file = post("/api/files", {"name": "a", "size": 1, "session_id": "s"})
    post("/api/sessions/{session_id}/members", {"email": "bob@example.com", "role": "viewer"}, session_id="s")
    bob = service.token("bob", email="bob@example.com")
    found = service.ask(bob, "/api/files/{file_id}/versions", pathParameters={"file_id": file["id"]})
    assert found["statusCode"] == 200
