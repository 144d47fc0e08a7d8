"""Requests that are made to keep a function busy, or to break it: each is a problem document, and the next one is answered."""

import json
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.support.api import Api, assert_problem
from tests.support.gateway import send

Serve = Callable[..., Any]
JSON = {"Content-Type": "application/json"}


def deep(opening: str, closing: str) -> str:
    return '{"metadata": {"a": ' + opening * 1000 + "1" + closing * 1000 + "}}"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (deep("[", "]"), "malformed-body"),
        (deep('{"a": ', "}"), "malformed-body"),
        ('{"metadata": {"a": ' + "9" * 10_000 + "}}", "malformed-body"),
        ('{"metadata": {"a": -' + "9" * 10_000 + "}}", "malformed-body"),
        ('{"metadata": {"a": 1e' + "9" * 10_000 + "}}", "invalid-input"),
        ('{"metadata": {"a": 0.' + "9" * 10_000 + "e9999}}", "invalid-input"),
        (json.dumps({"metadata": {f"k{number}": number for number in range(10_000)}}), "invalid-input"),
        (json.dumps({"metadata": {"a": "x" * 1_000_000}}), "invalid-input"),
        (json.dumps({"metadata": {"a": [0] * 40_000}}), "invalid-input"),
        (json.dumps({"metadata": {"a": [0] * 500_000}}), "malformed-body"),
        (json.dumps({"x" * 30_000: [0] * 40_000}), "invalid-input"),
        (json.dumps({"x" * 30_000: ["\0"] * 40_000}), "invalid-input"),
        (json.dumps({"limits": {f"k{number}": 0 for number in range(100_000)}}), "malformed-body"),
        (json.dumps({"session_id": "x" * 1_000_000}), "invalid-input"),
        (json.dumps({"x" * 1_000_000: 1}), "invalid-input"),
    ],
    ids=[
        "lists in lists", "objects in objects", "a long integer", "a long negative integer", "a long exponent", "a long fraction",
        "many members", "a long text", "a long list", "a longer list", "a long name of a long list",
        "a long name of wrong values", "many names", "a long id", "a long name",
    ],
)  # fmt: skip
def test_a_body_out_of_all_proportion_is_refused(api: Api, body: str, kind: str) -> None:
    answer = api("POST", "/api/sessions", body=body.encode(), Content_Type="application/json")
    problem = answer.json
    assert (answer.status, problem["type"]) == (400, f"/problems/{kind}")
    assert len(answer.body) < 20_000, "what was sent isn't sent back"


def test_a_body_of_a_cursor_or_a_query_goes_no_deeper(api: Api) -> None:
    for path in (
        "/api/files?cursor=" + "W" * 11_000,
        "/api/files?q=" + "a" * 5_000,
        "/api/files?limit=" + "9" * 10_000,
    ):
        assert api("GET", path).status == 400


def test_ten_thousand_parameters_are_refused() -> None:
    for query in (
        {f"p{number}": ["1"] for number in range(10_000)},
        {f"metadata.p{number}": ["1"] for number in range(10_000)},
        {"tag": ["x"] * 10_000},
        {"limit": ["1"] * 10_000},
    ):
        answer = send("GET", "/api/files", multiValueQueryStringParameters=query)
        assert answer["statusCode"] == 400
        assert json.loads(answer["body"])["type"] == "/problems/invalid-input"
        assert len(answer["body"]) < 20_000


@pytest.mark.parametrize("name", ["Authorization", "If-None-Match", "X-Landfall-User", "Content-Type", "X-Anything"])
def test_headers_of_a_megabyte_are_refused(name: str) -> None:
    headers = {"Host": "h", **JSON, name: "x" * 1_000_000}
    answer = send("POST", "/api/sessions", headers=headers, body="{}")
    assert (answer["statusCode"], json.loads(answer["body"])["type"]) == (431, "/problems/headers-too-large")


def test_two_thousand_headers_are_refused() -> None:
    answer = send("GET", "/api/me", headers={f"X-{number}": "x" * 20 for number in range(2000)})
    assert answer["statusCode"] == 431


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(api: Api) -> None:
    body = b'{"session_id": "' + b"x" * 7_000_000 + b'"}'
    assert_problem(api("POST", "/api/sessions", body=body, Content_Type="application/json"), 413, "too-large")


def test_the_server_answers_the_next_request(api: Api) -> None:
    assert api("GET", "/health").status == 200


def test_a_request_line_of_a_megabyte_is_refused(api: Api) -> None:
    connection = HTTPConnection("127.0.0.1", api.port, timeout=60)
    connection.request("GET", "/api/files?q=" + "a" * 1_000_000)
    assert 400 <= connection.getresponse().status < 500
    connection.close()
