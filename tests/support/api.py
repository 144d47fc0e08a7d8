"""A client of the API that holds every answer against the OpenAPI document."""

import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dev.configuration import PROJECT

# An id that nothing has.
UNKNOWN_ID = "01890000-0000-7000-8000-000000000000"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Api:
    """A client of one server, as one user."""

    port: int
    log: Path
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, method: str, path: str, document: Any = None, body: bytes | None = None, **headers: str
    ) -> Answer:
        """Send a JSON ``document`` or a raw ``body``; underscores of header names become hyphens."""
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        if document is not None:
            body = json.dumps(document).encode()
            sent = {"Content-Type": "application/json"} | sent
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
            _assert_documented(method, path, answer)
            return answer
        finally:
            connection.close()

    @property
    def user_id(self) -> str:
        """The id of the user that this client is."""
        return self.headers["X-Landfall-User"]

    def as_user(self, user: dict[str, Any]) -> "Api":
        return Api(self.port, self.log, {"X-Landfall-User": user["id"]})

    def as_nobody(self) -> "Api":
        return Api(self.port, self.log)

    def follow(self, url: str) -> Answer:
        """GET an absolute URL of this server."""
        parts = urlsplit(url)
        assert parts.port == self.port
        return self("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)

    def pages(self, path: str) -> Iterator[Answer]:
        """The pages of a list, each by the Link header of the one before."""
        answer = self("GET", path)
        while True:
            assert answer.status == 200, answer.body
            yield answer
            cursor, link = answer.json["next_cursor"], answer.headers.get("Link")
            assert (link is None) == (cursor is None)
            if link is None:
                return
            target = re.fullmatch(r'<(.*)>; rel="next"', link)
            assert target is not None, link
            answer = self.follow(target[1])

    def items(self, path: str) -> list[Any]:
        """Everything in a list, page by page."""
        return [item for page in self.pages(path) for item in page.json["items"]]

    def log_lines(self, request_id: str) -> list[dict[str, Any]]:
        """What the log says about one request, so far; waits for its last line."""
        for _ in range(50):
            lines = [line for line in self._json_lines() if line.get("request_id") == request_id]
            if any(line["message"] == "request" for line in lines):
                return lines
            time.sleep(0.05)
        raise AssertionError(f"nothing in the log about {request_id}")

    def _json_lines(self) -> Iterator[dict[str, Any]]:
        for line in self.log.read_text().splitlines():
            if line.startswith("{"):
                yield json.loads(line)


def moment(text: str) -> datetime:
    """A timestamp of the API's. As text they don't compare: a fraction of zero is left out."""
    return datetime.fromisoformat(text)


def assert_problem(answer: Answer, status: int, name: str, *fields: tuple[str, str]) -> dict[str, Any]:
    """The answer is this problem, in the one shape that every failure has; ``fields`` are the wrong ones."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    problem = answer.json
    assert list(problem) == ["type", "title", "status", "detail", "instance", "request_id", "errors"]
    assert problem["type"] == f"/problems/{name}"
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    assert problem["title"]
    assert problem["detail"]
    assert [(error["where"], error["field"]) for error in problem["errors"]] == list(fields), problem
    assert all(error["message"] for error in problem["errors"])
    return problem


def _assert_documented(method: str, path: str, answer: Answer) -> None:
    """Whatever the server answers in any test is in its OpenAPI document: status, kind of problem, headers."""
    plain = urlsplit(path).path
    operation = next((item for pattern, item in _documented() if pattern.fullmatch(plain)), {}).get(
        {"HEAD": "get"}.get(method, method.lower())
    )
    if operation is None:
        return  # no such path, or not with this method
    told = operation["responses"].get(str(answer.status))
    assert told is not None, (
        f"{method} {plain} answers {answer.status}, which its document doesn't tell: {answer.body!r}"
    )
    if "problem" in answer.headers.get("Content-Type", "") and answer.body:
        kind = answer.json["type"].removeprefix("/problems/")
        assert kind in told["content"]["application/problem+json"]["examples"], f"{method} {plain}: {kind}"
    undeclared = {"Location", "Link", "ETag", "Retry-After", "Allow"} & set(answer.headers) - set(told["headers"])
    assert not undeclared, f"{method} {plain} {answer.status}: {undeclared}"


@cache
def _documented() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    sys.path.append(str(PROJECT / "vendor"))  # as `chalice local` and the Lambda layer do
    from chalicelib.api.http import openapi
    from chalicelib.api.routes import ROUTES

    paths = openapi.document(ROUTES)["paths"]
    # Fixed paths before those with a variable in the same place.
    by_length = sorted(paths, key=lambda path: (path.count("{"), path))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), paths[path]) for path in by_length]
