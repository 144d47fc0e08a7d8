"""A real ``chalice local``, as its own process, on a real database, spoken to over real HTTP."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from http.client import HTTPConnection, HTTPMessage
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from chalicelib.services.users import ensure_demo_user
from dev.emulator import Emulator
from dev.infra import client
from dev.ports import free_port

ROOT = Path(__file__).parents[2]
_START_SECONDS = 30


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@cache
def _documented() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    sys.path.append(str(ROOT / "vendor"))  # as `chalice local` and the Lambda layer do
    from app import app
    from chalicelib.api import openapi

    paths = openapi.document(app.routes)["paths"]
    # Fixed paths before those with a variable in the same place.
    by_length = sorted(paths, key=lambda path: (path.count("{"), path))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), paths[path]) for path in by_length]


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

    def as_user(self, user: dict[str, Any]) -> "Api":
        return Api(self.port, self.log, {"X-Landfall-User": user["id"]})

    def follow(self, url: str) -> Answer:
        """GET an absolute URL of this server."""
        parts = urlsplit(url)
        assert parts.port == self.port
        return self("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)

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


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """``with serve(database_url, "local", LANDFALL_IDENTITY="none") as api:`` runs a server."""
    folder = tmp_path_factory.mktemp("chalice")
    numbers = count(1)

    @contextmanager
    def run(database_url: str, stage: str = "local", **environment: str) -> Iterator[Api]:
        log = folder / f"server-{next(numbers)}.log"
        port = free_port()
        environ = (
            os.environ
            | {
                "LANDFALL_DATABASE_URL": database_url,
                "LANDFALL_BUCKET": "landfall-local",
                "LANDFALL_PUBLIC_URL": f"http://127.0.0.1:{port}",
            }
            | environment
        )
        main = [sys.executable, "-c", "from chalice.cli import main; main()", "--project-dir", str(ROOT)]
        command = [*main, "local", "--stage", stage, "--port", str(port), "--no-autoreload"]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environ)
        try:
            _wait_until_it_listens(process, port, log)
            yield Api(port, log)
        finally:
            process.terminate()
            process.wait(10)

    return run


@pytest.fixture(scope="session")
def api_database_url(new_migrated_database: Callable[[], str]) -> str:
    """A database of the API tests' own, with the demo user."""
    return _with_demo_user(new_migrated_database())


@pytest.fixture
def api_database_copy(new_migrated_database: Callable[[], str]) -> str:
    """The same for one test alone, which may do to it what it likes."""
    return _with_demo_user(new_migrated_database())


def _with_demo_user(url: str) -> str:
    engine = create_engine(url)
    with Session(engine) as session, session.begin():
        ensure_demo_user(session)
    engine.dispose()
    return url


@pytest.fixture(scope="session")
def api(serve: Callable[..., Any], api_database_url: str) -> Iterator[Api]:
    """The demo operator's client of a server in the local stage."""
    with serve(api_database_url) as api:
        yield api


@pytest.fixture
def new_user(api: Api) -> Callable[..., dict[str, Any]]:
    """Creates a user and says its document."""

    def create(name: str = "Ada", **fields: Any) -> dict[str, Any]:
        answer = api("POST", "/api/users", {"name": name, **fields})
        assert answer.status == 201, answer.body
        return answer.json

    return create


@pytest.fixture
def member(api: Api, new_user: Callable[..., dict[str, Any]]) -> Api:
    """A client who is a member with nothing of its own yet."""
    return api.as_user(new_user())


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


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"chalice local did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A real S3 protocol, without queues behind it: tests deliver the events themselves, or don't."""
    emulator = Emulator(tmp_path_factory.mktemp("emulator"), free_port())
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture(scope="session")
def s3(emulator: Emulator) -> Any:
    """A boto3 client of the emulator."""
    return client("s3", emulator.url, s3={"addressing_style": "path"})


@pytest.fixture(scope="session")
def files_api(serve: Callable[..., Any], api_database_url: str, emulator: Emulator, s3: Any) -> Iterator[Api]:
    """The demo operator's client of a server whose bucket, `versioned`, exists and has versions."""
    s3.create_bucket(Bucket="versioned")
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    with serve(api_database_url, AWS_ENDPOINT_URL=emulator.url, LANDFALL_BUCKET="versioned") as api:
        yield api


@pytest.fixture(scope="session")
def plain_files_api(serve: Callable[..., Any], api_database_url: str, emulator: Emulator, s3: Any) -> Iterator[Api]:
    """As `files_api`, with a bucket, `plain`, that has no versions."""
    s3.create_bucket(Bucket="plain")
    with serve(api_database_url, AWS_ENDPOINT_URL=emulator.url, LANDFALL_BUCKET="plain") as api:
        yield api


@pytest.fixture
def owner(files_api: Api) -> Api:
    """A client of `files_api` who is a member with nothing of its own yet."""
    answer = files_api("POST", "/api/users", {"name": "Grace"})
    return files_api.as_user(answer.json)
