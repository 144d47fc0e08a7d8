"""Owner rules over real HTTP."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from chalicelib.services.jobs import assign
from tests.support.api import UNKNOWN_ID, Api, assert_problem
from tests.support.files import find_by_key
from tests.support.notifications import s3_record
from tests.support.recording import deliver
from tests.support.users import used

PATH = "/api/owner-rules"


@pytest.fixture
def prefix() -> str:
    return f"rules-{uuid4()}/"


def make(api: Api, prefix: str, owner: Api, **fields: Any) -> Any:
    answer = api("POST", PATH, {"prefix": prefix, "user_id": owner.user_id} | fields)
    assert answer.status == 201, answer.body
    assert answer.headers["Location"].endswith(f"{PATH}/{answer.json['id']}")
    return answer.json


def drop(engine: Engine, key: str) -> None:
    deliver(engine, s3_record("ObjectCreated:Put", key, bucket="landfall-local", sequencer="01", size=5))


def test_a_rule_is_made_read_listed_and_deleted(api: Api, member: Api, prefix: str) -> None:
    rule = make(api, prefix, member)
    assert list(rule) == ["id", "bucket", "prefix", "user_id", "created_at"]
    assert (rule["bucket"], rule["prefix"], rule["user_id"]) == ("landfall-local", prefix, member.user_id)
    assert api("GET", f"{PATH}/{rule['id']}").json == rule
    assert rule in api.items(f"{PATH}?limit=2")
    assert api("DELETE", f"{PATH}/{rule['id']}").status == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/apply")):
        assert_problem(api(method, f"{PATH}/{rule['id']}{path}"), 404, "not-found")


def test_new_objects_belong_to_whom_the_rule_says_and_are_its_alone(
    api: Api, member: Api, engine: Engine, prefix: str
) -> None:
    rule = make(api, prefix, member)
    drop(engine, prefix + "a.txt")
    file = find_by_key(member, prefix + "a.txt")
    assert (file["owner_id"], file["session_id"]) == (member.user_id, None)
    assert used(member) == (1, 5)

    api("DELETE", f"{PATH}/{rule['id']}")
    drop(engine, prefix + "b.txt")
    assert find_by_key(api, prefix + "b.txt")["owner_id"] is None
    assert [item["id"] for item in member.items("/api/files")] == [file["id"]]


def test_a_rule_is_applied_to_what_was_there_before_it(
    api: Api, member: Api, engine: Engine, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assign, "_AT_ONCE", 2)
    for number in range(5):
        drop(engine, f"{prefix}{number}")
    rule = make(api, prefix, member)
    assert member.items("/api/files") == []

    job = api("POST", f"{PATH}/{rule['id']}/apply").json
    assert (job["kind"], job["state"], job["done"]) == ("assign_owners", "done", 5)
    assert used(member) == (5, 25)
    assert api("POST", f"{PATH}/{rule['id']}/apply").json["done"] == 0


def test_files_that_have_an_owner_keep_it(api: Api, member: Api, stranger: Api, engine: Engine, prefix: str) -> None:
    first = make(api, prefix, member)
    drop(engine, prefix + "a")
    api("DELETE", f"{PATH}/{first['id']}")
    rule = make(api, prefix, stranger)
    assert api("POST", f"{PATH}/{rule['id']}/apply").json["done"] == 0
    assert find_by_key(api, prefix + "a")["owner_id"] == member.user_id


def test_of_several_rules_made_at_once_for_a_prefix_one_is_there(api: Api, member: Api, prefix: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        document = {"prefix": prefix, "user_id": member.user_id}
        answers = list(pool.map(lambda _: api("POST", PATH, document), range(16)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 15
    problem = assert_problem(api("POST", PATH, document), 409, "conflict")
    assert problem["detail"] == "There is a rule for this prefix already."
    make(api, prefix, member, bucket="another")


def test_a_rule_of_a_deleted_user_is_gone_and_its_objects_come_to_the_operators(
    api: Api, member: Api, engine: Engine, prefix: str
) -> None:
    rule = make(api, prefix, member)
    assert api("DELETE", f"/api/users/{member.user_id}").status == 204
    assert_problem(api("GET", f"{PATH}/{rule['id']}"), 404, "not-found")
    drop(engine, prefix + "late")
    assert find_by_key(api, prefix + "late")["owner_id"] is None


def test_only_operators_see_and_change_rules(api: Api, member: Api, prefix: str) -> None:
    rule = make(api, prefix, member)
    document = {"prefix": prefix + "x", "user_id": member.user_id}
    one = f"{PATH}/{rule['id']}"
    for method, path, body in (
        ("GET", PATH, None), ("POST", PATH, document), ("GET", one, None), ("DELETE", one, None), ("POST", f"{one}/apply", None),
        ("GET", f"{PATH}/{UNKNOWN_ID}", None),
    ):  # fmt: skip
        assert_problem(member(method, path, body), 403, "forbidden")


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"user_id": UNKNOWN_ID}, "prefix"),
        ({"prefix": "a/"}, "user_id"),
        ({"prefix": "a/", "user_id": "me"}, "user_id"),
        ({"prefix": "é" * 513, "user_id": UNKNOWN_ID}, "prefix"),
        ({"prefix": "x" * 1025, "user_id": UNKNOWN_ID}, "prefix"),
        ({"prefix": "\0", "user_id": UNKNOWN_ID}, "prefix"),
        ({"prefix": "a/", "user_id": UNKNOWN_ID, "bucket": ""}, "bucket"),
        ({"prefix": "a/", "user_id": UNKNOWN_ID, "owner": "x"}, "owner"),
    ],
)
def test_a_wrong_field_is_named(api: Api, document: dict[str, object], field: str) -> None:
    assert_problem(api("POST", PATH, document), 400, "invalid-input", ("body", field))


def test_a_rule_for_a_user_who_is_not_there_is_refused(api: Api, prefix: str) -> None:
    assert_problem(api("POST", PATH, {"prefix": prefix, "user_id": UNKNOWN_ID}), 422, "unprocessable")


def test_a_cursor_of_another_list_is_refused(api: Api) -> None:
    assert_problem(api("GET", f"{PATH}?cursor=AAAA"), 400, "invalid-cursor", ("query", "cursor"))
