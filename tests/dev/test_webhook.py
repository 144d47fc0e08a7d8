"""MinIO's way in, with captured notifications."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3
from sqlalchemy import text

import app
from chalicelib import runtime
from chalicelib.services.upkeep.schema import migrate
from dev.stack import ephemeral_postgres
from dev.webhook import WebhookReceiver
from tests.support.process import start_over
from tests.support.waiting import eventually

FIXTURES = Path(__file__).parents[1] / "fixtures" / "events" / "minio-plain"
SECRET = "a-secret"


@pytest.fixture
def database(
    new_migrated_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], list[Any]]]:
    """The application on a database of the test's own; asks that database."""
    with _application_on(new_migrated_database(), monkeypatch) as ask:
        yield ask


@contextmanager
def _application_on(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], list[Any]]]:
    monkeypatch.setenv("LANDFALL_DATABASE_URL", url)
    monkeypatch.setenv("LANDFALL_BUCKET", "landfall-plain")
    monkeypatch.setenv("LANDFALL_INSPECTION", "schedule")
    start_over()

    def ask(statement: str) -> list[Any]:
        with runtime.engine().connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    yield ask
    runtime.engine().dispose()
    start_over()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[WebhookReceiver]:
    running = WebhookReceiver(app.ingest, SECRET, tmp_path / "dead", log=lambda line: None)
    running.start()
    yield running
    running.stop()


def _post(
    receiver: WebhookReceiver, body: bytes, authorization: str | None = f"Bearer {SECRET}", **headers: str
) -> int:
    """As MinIO's webhook target posts an event."""
    if authorization is not None:
        headers["Authorization"] = authorization
    url = f"http://127.0.0.1:{receiver.port}/"
    return urllib3.request("POST", url, body=body, headers=headers, retries=False, timeout=10).status


def test_captured_notifications_are_recorded(receiver: WebhookReceiver, database: Callable[[str], list[Any]]) -> None:
    for path in sorted(FIXTURES.glob("*.json"))[:-1]:  # to take the last, that of a lifecycle rule, S3 must be there
        assert _post(receiver, path.read_bytes()) == 200, path.name

    rows = {key: (state, size) for key, state, size in database("SELECT key, state, size FROM files")}
    assert rows["empty"] == ("stored", 0)
    assert rows["copied"] == ("stored", 11)
    assert rows["reports 2026/q1+q2 é%2F🎉.txt"] == ("deleted", None)


def test_an_event_sent_twice_is_recorded_once(receiver: WebhookReceiver, database: Callable[[str], list[Any]]) -> None:
    body = (FIXTURES / "01-put.json").read_bytes()
    assert [_post(receiver, body), _post(receiver, body)] == [200, 200]
    assert database("SELECT count(*) FROM file_events") == [(1,)]


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", SECRET, f"Basic {SECRET}", "Bearer \u00fc"]
)
def test_a_request_without_the_secret_records_nothing(
    receiver: WebhookReceiver, database: Callable[[str], list[Any]], authorization: str | None
) -> None:
    assert _post(receiver, (FIXTURES / "01-put.json").read_bytes(), authorization) == 401
    assert database("SELECT count(*) FROM file_events") == [(0,)]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"EventName": "s3:ObjectCreated:Put"}', b'{"Records": [{}]}']
)
def test_an_unreadable_event_is_kept_and_does_not_hold_up_others(
    receiver: WebhookReceiver, database: Callable[[str], list[Any]], tmp_path: Path, body: bytes
) -> None:
    assert _post(receiver, body) == 200

    (kept,) = (tmp_path / "dead").iterdir()
    assert kept.read_bytes() == body
    assert _post(receiver, (FIXTURES / "01-put.json").read_bytes()) == 200
    assert database("SELECT count(*) FROM file_events") == [(1,)]


def test_an_event_that_cannot_be_kept_comes_again_and_does_not_hold_up_others(
    receiver: WebhookReceiver, database: Callable[[str], list[Any]], tmp_path: Path
) -> None:
    (tmp_path / "dead").write_text("a file in place of the folder")
    assert _post(receiver, b"{") == 503

    assert _post(receiver, (FIXTURES / "01-put.json").read_bytes()) == 200
    assert database("SELECT count(*) FROM file_events") == [(1,)]


def test_an_event_without_a_database_is_refused_and_recorded_when_it_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: WebhookReceiver
) -> None:
    with ephemeral_postgres(tmp_path / "server") as postgres, _application_on(postgres.url, monkeypatch) as ask:
        migrate(runtime.engine())
        body = (FIXTURES / "01-put.json").read_bytes()

        postgres.kill()
        assert _post(receiver, body) == 503
        assert not (tmp_path / "dead").exists()

        postgres.start()
        assert eventually(lambda: _post(receiver, body) == 200, 20)
        assert ask("SELECT count(*) FROM file_events") == [(1,)]


def test_other_requests_are_refused(receiver: WebhookReceiver) -> None:
    url = f"http://127.0.0.1:{receiver.port}/"
    assert urllib3.request("GET", url, retries=False).status == 501

    for length in ("2000000", "9" * 5000):
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Length": length}
        assert urllib3.request("POST", url, headers=headers, body=b"", retries=False).status == 413

    headers = {"Authorization": f"Bearer {SECRET}", "Transfer-Encoding": "chunked"}
    assert urllib3.request("POST", url, headers=headers, body=iter([b"{}"]), retries=False).status == 411


def test_a_receiver_without_a_secret_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="secret"):
        WebhookReceiver(app.ingest, "", tmp_path)
