"""How many statements a request sends to Postgres: nobody adds one to a hot path unseen."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from chalicelib import runtime
from tests.support.gateway import send
from tests.support.messages import count_messages
from tests.support.process import start_over
from tests.support.statements import Sent, noting_statements


@pytest.fixture
def statements(api_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Sent]]:
    """What this process sends, while the handler of API Gateway's events runs in it."""
    monkeypatch.setenv("LANDFALL_DATABASE_URL", api_database_url)
    start_over()
    with noting_statements() as sent:
        yield sent
    runtime.engine().dispose()
    start_over()


def _json(body: str) -> dict[str, Any]:
    return {"body": body, "headers": {"Content-Type": "application/json"}}


@pytest.mark.parametrize(
    ("method", "resource", "parts", "count"),
    [
        ("GET", "/api/files", {}, 1),
        ("GET", "/api/files", {"multiValueQueryStringParameters": {"tag": ["x"]}}, 2),  # the first sets its time limit
        ("GET", "/api/files/{file_id}", {}, 1),
        ("GET", "/api/files/{file_id}/versions", {}, 3),
        ("GET", "/api/sessions/{session_id}/files", {}, 3),
        # Limits, both rows, the trail, then the file as it is; quotas only where there are any.
        ("POST", "/api/files", _json('{"name": "a", "size": 5}'), 5),
        ("POST", "/api/files/{file_id}/upload", {}, 3),
        ("POST", "/api/uploads/sign", _json('{"method": "PUT", "key": "fresh", "file": {"size": 5}}'), 6),
        ("GET", "/api/files/{file_id}/events", {}, 3),
        ("PATCH", "/api/files/{file_id}", _json('{"name": "b"}'), 6),
    ],
)
def test_a_hot_path_sends_no_more_statements_than_this(
    statements: list[Sent], method: str, resource: str, parts: dict[str, Any], count: int
) -> None:
    made = send("POST", "/api/files", **_json('{"name": "a", "size": 5, "session_id": "statements"}'))
    assert made["statusCode"] == 201

    file_id = made["headers"]["Location"].rpartition("/")[2]
    statements.clear()
    named = {"file_id": file_id, "session_id": "statements"}
    parameters = {"pathParameters": {name: value for name, value in named.items() if f"{{{name}}}" in resource}}

    answer = send(method, resource, **parts, **parameters)
    assert answer["statusCode"] in (200, 201), answer["body"]
    assert len(statements) == count, statements


def test_an_api_key_costs_one_statement_and_another_one_once_a_day(statements: list[Sent]) -> None:
    made = json.loads(send("POST", "/api/keys", **_json('{"name": "n", "scopes": ["read"]}'))["body"])
    with_key = {"headers": {"Authorization": f"Bearer {made['secret']}"}}
    for count in (3, 2):
        statements.clear()
        assert send("GET", "/api/files", **with_key)["statusCode"] == 200
        assert len(statements) == count, statements


def test_signing_a_part_sends_one_statement(statements: list[Sent]) -> None:
    first = send("POST", "/api/uploads/sign", **_json('{"method": "POST", "key": "k", "file": {"size": 11000000}}'))
    key = json.loads(first["body"])["key"]
    part = {"method": "PUT", "key": key, "uploadId": "u", "partNumber": 1}
    assert send("POST", "/api/uploads/sign", **_json(json.dumps(part)))["statusCode"] == 200  # notes the upload's id

    statements.clear()
    assert send("POST", "/api/uploads/sign", **_json(json.dumps(part | {"partNumber": 2})))["statusCode"] == 200
    assert len(statements) == 1, statements


@pytest.mark.parametrize(
    ("resource", "query"),
    [
        ("/api/files", {}),
        ("/api/files", {"sort": ["-updated"], "limit": ["1"]}),
        ("/api/files", {"owner_id": ["00000000-0000-7000-8000-000000000001"]}),
        ("/api/files/{file_id}", {}),
        ("/api/files/{file_id}/download", {"redirect": ["false"]}),
    ],
)
def test_what_is_read_most_takes_one_message_to_postgres(
    statements: list[Sent], resource: str, query: dict[str, list[str]]
) -> None:
    """There is no BEGIN and no COMMIT, and nothing is parsed or planned from the second time on."""
    made = send("POST", "/api/files", **_json('{"name": "a", "size": 5}'))
    file_id = made["headers"]["Location"].rpartition("/")[2]
    with runtime.transaction() as session:
        session.execute(
            text("UPDATE files SET state = 'stored', version_id = '', size = 5 WHERE id = :id"), {"id": file_id}
        )
    counting = count_messages(runtime.engine())
    path = {"file_id": file_id} if "{" in resource else {}
    for expected in (1, 2, 3):
        answer = send("GET", resource, multiValueQueryStringParameters=query, pathParameters=path)
        assert answer["statusCode"] == 200, answer["body"]
        assert counting.sent == expected
