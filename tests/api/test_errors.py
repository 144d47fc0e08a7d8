"""Every way to be refused has one shape, and no refusal comes from anyone but us."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from chalicelib.services.accounts.principals import DEMO_USER_ID
from tests.support.api import Answer, Api, assert_problem

Serve = Callable[..., Any]
NewDatabase = Callable[[], str]


def post(
    api: Api, body: bytes | str, content_type: str | None = "application/json", path: str = "/api/sessions"
) -> Answer:
    headers = {} if content_type is None else {"Content_Type": content_type}
    return api("POST", path, body=body.encode() if isinstance(body, str) else body, **headers)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n",
        b"{",
        b"{'session_id': 1}",
        b"\xff\xfe{}",
        b'{"session_id": "\xe9"}',
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b'{"metadata": {"x": NaN}}',
        b'{"metadata": {"x": -Infinity}}',
        b'{"name": "a", "name": "b"}',
        b"[" * 100_000,
        b'{"metadata": ' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}",
        b'{"metadata": {"x": ' + b"9" * 5000 + b"}}",
    ],
)
def test_a_body_that_cannot_be_read_is_refused(api: Api, body: bytes) -> None:
    assert_problem(post(api, body), 400, "malformed-body")


@pytest.mark.parametrize("body", ["[]", "null", '"text"', "5", "true"])
def test_a_body_that_is_no_object_is_refused(api: Api, body: str) -> None:
    assert_problem(post(api, body), 400, "invalid-input", ("body", ""))


def test_a_number_beyond_a_double_is_refused(api: Api) -> None:
    assert_problem(post(api, '{"metadata": {"x": 1e999}}'), 400, "invalid-input", ("body", "metadata.x"))


def test_all_wrong_fields_are_listed_together(api: Api) -> None:
    body = '{"session_id": " ", "name": "", "b": 1, "a\\ud800": 2}'

    problem = assert_problem(post(api, body), 400, "invalid-input", ("body", ""))
    assert "surrogate" in problem["errors"][0]["message"]

    answer = post(api, '{"session_id": " ", "name": "", "b": 1}')
    assert_problem(answer, 400, "invalid-input", ("body", "session_id"), ("body", "name"), ("body", "b"))


def test_at_most_a_hundred_wrong_fields_are_listed(api: Api) -> None:
    answer = post(api, json.dumps({f"field{number}": 1 for number in range(5000)}))
    assert (
        len(assert_problem(answer, 400, "invalid-input", *(("body", f"field{n}") for n in range(100)))["errors"]) == 100
    )


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/jsonp",
        "application/json; charset=latin-1",
        None,  # which a page of another site may send without asking first
    ],
)
def test_a_body_of_another_type_is_refused(api: Api, content_type: str | None) -> None:
    assert_problem(post(api, "{}", content_type), 415, "unsupported-media-type")


@pytest.mark.parametrize("content_type", ["Application/JSON", 'application/json; charset="UTF-8"'])
def test_any_spelling_of_the_json_media_type_is_read(member: Api, content_type: str) -> None:
    assert post(member, "{}", content_type).status == 201


def test_a_body_of_40_000_unknown_fields_is_refused(api: Api) -> None:
    many = json.dumps({f"field-{number}": 1 for number in range(40_000)})

    told = [("body", f"field-{number}") for number in range(100)]
    assert_problem(post(api, many), 400, "invalid-input", *told)


@pytest.mark.parametrize(
    ("path", "document", "field"),
    [
        ("/api/files", {"name": "a", "dedupe": 0}, "dedupe"),
        ("/api/files", {"name": "a", "dedupe": "true"}, "dedupe"),
        ("/api/files", {"name": "a", "size": "5"}, "size"),
        ("/api/files", {"name": "a", "size": True}, "size"),
        ("/api/files", {"name": "a", "media_type": "image/png\r\n;x"}, "media_type"),
        ("/api/files", {"name": "a", "media_type": "image/png\n"}, "media_type"),
        ("/api/sessions", {"limits": {"max_files": "5"}}, "limits.max_files"),
        ("/api/sessions", {"limits": {"refuse_mismatch": 1}}, "limits.refuse_mismatch"),
    ],
)
def test_a_value_of_another_json_type_is_refused(api: Api, path: str, document: Any, field: str) -> None:
    assert_problem(api("POST", path, document), 400, "invalid-input", ("body", field))


@pytest.mark.parametrize("query", ["limit=1_0", "limit=+5", "limit=%205", "limit=5.0", "limit=\u0665", "limit="])
def test_an_integer_in_a_query_is_written_in_digits(api: Api, query: str) -> None:
    assert_problem(api("GET", f"/api/sessions?{quote(query, safe='=&%+')}"), 400, "invalid-input", ("query", "limit"))


@pytest.mark.parametrize("text", ["1", "on", "True", "yes", ""])
def test_a_truth_value_in_a_query_is_true_or_false(api: Api, text: str) -> None:
    answer = api("GET", f"/api/files?is_mismatch={text}")
    assert_problem(answer, 400, "invalid-input", ("query", "is_mismatch"))


def test_no_browser_guesses_what_an_answer_is(api: Api) -> None:
    for path in ("/health", "/api/files", "/nothing", "/docs", "/docs/swagger-ui.css"):
        assert api("GET", path).headers["X-Content-Type-Options"] == "nosniff", path


@pytest.mark.parametrize(
    ("query", "field"),
    [("colour=red", "colour"), ("limit=1&limit=2", "limit"), ("cursor=%00", "cursor"), ("%00=1", "�"), ("=1", "")],
)
def test_a_wrong_query_parameter_is_named(api: Api, query: str, field: str) -> None:
    assert_problem(api("GET", f"/api/sessions?{query}"), 400, "invalid-input", ("query", field))


def test_a_route_without_parameters_takes_none(api: Api) -> None:
    assert_problem(api("POST", "/api/sessions?limit=1", {}), 400, "invalid-input", ("query", "limit"))
    assert_problem(api("GET", "/health?x=1"), 400, "invalid-input", ("query", "x"))


@pytest.mark.parametrize("path", ["/nothing", "/api", "/api/nothing", "/api/users/x/y", "/a/b/c/d/e/f/g/h"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_an_unknown_path_is_not_found(api: Api, method: str, path: str) -> None:
    assert_problem(api(method, path), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/users", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("GET", "/api/session", {"POST", "OPTIONS"}),
        ("POST", "/api/sessions/x", {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}),
        ("PUT", "/health", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_refused_method_is_answered_with_the_allowed_ones(
    api: Api, method: str, path: str, allowed: set[str]
) -> None:
    answer = api(method, path, {})
    assert_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_a_problem_names_the_path_as_it_was_sent(api: Api) -> None:
    assert api("GET", "/api/sessions/no%7Esuch?").json["instance"] == "/api/sessions/no%7Esuch"


def test_head_is_get_without_a_body(api: Api) -> None:
    head, get = api("HEAD", "/api/users?limit=1"), api("GET", "/api/users?limit=1")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"] == "application/json"

    missing = api("HEAD", "/api/sessions/none")
    assert (missing.status, missing.body) == (404, b"")
    assert api("HEAD", "/api/session").status == 405


def test_a_page_of_another_origin_may_send_requests_and_read_answers(api: Api) -> None:
    preflight = api("OPTIONS", "/api/users/1", Origin="http://other.example", Access_Control_Request_Method="PATCH")
    assert preflight.status == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"

    methods = set(preflight.headers["Access-Control-Allow-Methods"].split(","))
    assert methods == {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}
    assert {"Content-Type", "X-Landfall-User"} <= set(preflight.headers["Access-Control-Allow-Headers"].split(","))

    exposed = set(api("GET", "/api/users").headers["Access-Control-Expose-Headers"].split(","))
    assert {"ETag", "Link", "Location", "X-Request-Id"} <= exposed


def test_every_answer_has_an_id_that_finds_its_log_line(api: Api) -> None:
    answers = [api("GET", "/api/users"), api("GET", "/api/users/me"), api("GET", "/nothing"), api("GET", "/health")]

    identifiers = [answer.headers["X-Request-Id"] for answer in answers]
    assert len({UUID(identifier) for identifier in identifiers}) == 4

    (line,) = api.log_lines(identifiers[0])
    assert (line["method"], line["route"], line["status"]) == ("GET", "/api/users", 200)
    assert line["user_id"] == str(DEMO_USER_ID)
    assert line["ms"] > 0


def test_a_caller_unknown_to_the_database_cannot_open_a_session(
    serve: Serve, new_migrated_database: NewDatabase
) -> None:
    with serve(new_migrated_database()) as api:
        assert_problem(api("POST", "/api/sessions", {}), 422, "unprocessable")


def test_simultaneous_requests_are_not_mixed_up(api: Api, new_user: Callable[..., dict[str, Any]]) -> None:
    users = [new_user(f"Parallel {number}") for number in range(8)]

    def ask(number: int) -> tuple[Answer, dict[str, Any]]:
        user = users[number % 8]
        return api.as_user(user)("GET", f"/api/users/{user['id']}"), user

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(160)))

    assert all(answer.json == user for answer, user in answers)
    assert len({answer.headers["X-Request-Id"] for answer, _ in answers}) == 160
