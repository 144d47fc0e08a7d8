"""The way in of MinIO and Ceph, with captured notifications."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3
from sqlalchemy import text

import app
from chalicelib import runtime
from chalicelib.services.upkeep.schema import migrate
from dev import webhook
from dev.stack import ephemeral_postgres
from dev.webhook import WebhookReceiver
from tests.support.notifications import body, s3_record
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
    running = WebhookReceiver(app.ingest, app.bury, SECRET, log=lambda line: None)
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
    receiver: WebhookReceiver, database: Callable[[str], list[Any]], body: bytes
) -> None:
    assert _post(receiver, body) == 200

    assert database("SELECT body FROM dead_events") == [(body.decode(errors="replace"),)]
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

        postgres.start()
        assert eventually(lambda: _post(receiver, body) == 200, 20)
        assert ask("SELECT count(*) FROM file_events") == [(1,)]


# --- as Ceph posts: the secret is the path, and many come at once


class Application:
    """In place of `app.ingest`: notes the batches it gets, and fails messages with ``refused`` in them."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.is_busy = threading.Event()

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        self.is_busy.set()
        self.may_go_on.wait(10)
        messages = {record["messageId"]: record["body"] for record in event["Records"]}
        self.batches.append(list(messages.values()))
        failed = [identifier for identifier, text in messages.items() if "refused" in text]
        return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in failed]}


class Graveyard:
    """In place of the function that lays dead events away."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.failure = ""

    def __call__(self, event: dict[str, Any], context: Any) -> Any:
        (record,) = event["Records"]
        if self.failure == "raises":
            raise OSError("no database")
        if self.failure == "refuses":
            return {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
        self.bodies.append(record["body"])
        return {"batchItemFailures": []}


@pytest.fixture
def graveyard() -> Graveyard:
    return Graveyard()


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def recorder(application: Application, graveyard: Graveyard) -> Iterator[WebhookReceiver]:
    running = WebhookReceiver(application, graveyard, SECRET, log=lambda line: None)
    running.start()
    yield running
    running.stop()


def _post_to(receiver: WebhookReceiver, path: str, sent: bytes) -> int:
    """As Ceph posts an event."""
    url = f"http://127.0.0.1:{receiver.port}{path}"
    return urllib3.request("POST", url, body=sent, retries=False, timeout=20).status


def _event(key: str) -> bytes:
    return body(s3_record("ObjectCreated:Put", key, bucket="landfall-plain", sequencer="01", size=1)).encode()


def test_a_hundred_events_at_once_are_taken_and_recorded_in_few_batches(database: Callable[[str], list[Any]]) -> None:
    batches = []

    def ingest(event: dict[str, Any], context: Any) -> Any:
        batches.append(len(event["Records"]))
        return app.ingest(event, context)

    receiver = WebhookReceiver(ingest, app.bury, SECRET, log=lambda line: None)
    receiver.start()
    start = threading.Barrier(100)

    def post(number: int) -> int:
        start.wait()
        return _post_to(receiver, f"/{SECRET}", _event(f"{number}.txt"))

    with ThreadPoolExecutor(100) as posters:
        assert list(posters.map(post, range(100))) == [200] * 100
    receiver.stop()

    assert database("SELECT count(*) FROM file_events") == [(100,)]
    assert sum(batches) == 100
    assert len(batches) < 50


def test_what_arrives_meanwhile_is_handed_over_together(recorder: WebhookReceiver, application: Application) -> None:
    application.may_go_on.clear()
    with ThreadPoolExecutor(41) as posters:
        first = posters.submit(_post_to, recorder, f"/{SECRET}", _event("first"))
        assert application.is_busy.wait(10)
        posts = [posters.submit(_post_to, recorder, f"/{SECRET}", _event(f"{n}")) for n in range(40)]
        assert eventually(lambda: recorder._arrivals.qsize() == 40)
        application.may_go_on.set()
        assert [post.result() for post in [first, *posts]] == [200] * 41

    assert [len(batch) for batch in application.batches] == [1, 40]


def test_one_event_of_a_batch_that_fails_comes_again_alone(
    recorder: WebhookReceiver, application: Application, graveyard: Graveyard
) -> None:
    application.may_go_on.clear()
    with ThreadPoolExecutor(4) as posters:
        posters.submit(_post_to, recorder, f"/{SECRET}", _event("first"))
        assert application.is_busy.wait(10)
        names = ["good", "refused", "better"]
        posts = [posters.submit(_post_to, recorder, f"/{SECRET}", _event(name)) for name in names]
        assert eventually(lambda: recorder._arrivals.qsize() == 3)
        application.may_go_on.set()
        assert [post.result() for post in posts] == [200, 503, 200]
    assert graveyard.bodies == []


@pytest.mark.parametrize("path", ["", "/", "/wrong", f"/{SECRET}x", f"/{SECRET}/", f"/x/{SECRET}", "/%61-secret"])
def test_a_path_that_is_not_the_secret_records_nothing(
    recorder: WebhookReceiver, application: Application, path: str
) -> None:
    assert _post_to(recorder, path, _event("a")) == 401
    assert application.batches == []


def test_the_path_of_an_empty_secret_is_not_the_secret(recorder: WebhookReceiver) -> None:
    assert _post(recorder, _event("a"), "Bearer ") == 401


class Clock:
    """In place of the clock by which patience is measured."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def sleep(self, seconds: float) -> None:
        """Take no time."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(webhook, "time", clock)
    return clock


def test_an_event_is_buried_only_after_its_tries_and_its_time(
    recorder: WebhookReceiver, clock: Clock, graveyard: Graveyard
) -> None:
    refused = _event("refused")
    # Many tries in a short time, as Ceph makes them: it stays alive.
    assert [_post_to(recorder, f"/{SECRET}", refused) for _ in range(20)] == [503] * 20
    clock.now += 59
    assert _post_to(recorder, f"/{SECRET}", refused) == 503
    assert graveyard.bodies == []

    clock.now += 2
    assert _post_to(recorder, f"/{SECRET}", refused) == 200
    assert graveyard.bodies == [refused.decode()]


def test_few_tries_in_a_long_time_do_not_bury_an_event(
    recorder: WebhookReceiver, clock: Clock, graveyard: Graveyard
) -> None:
    for _ in range(4):
        assert _post_to(recorder, f"/{SECRET}", _event("refused")) == 503
        clock.now += 3600
    assert graveyard.bodies == []
    assert _post_to(recorder, f"/{SECRET}", _event("refused")) == 200


def test_each_event_has_tries_of_its_own(recorder: WebhookReceiver, clock: Clock, graveyard: Graveyard) -> None:
    for number in range(10):
        assert _post_to(recorder, f"/{SECRET}", _event(f"refused-{number}")) == 503
        clock.now += 100
    assert graveyard.bodies == []


def test_an_application_that_fails_altogether_costs_no_event_its_life(
    recorder: WebhookReceiver,
    application: Application,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    graveyard: Graveyard,
) -> None:
    def fail(event: dict[str, Any], context: Any) -> None:
        raise OSError("no database")

    monkeypatch.setattr(recorder, "_handler", fail)
    for _ in range(8):
        assert _post_to(recorder, f"/{SECRET}", _event("a")) == 503
        clock.now += 100
    monkeypatch.setattr(recorder, "_handler", application)
    assert _post_to(recorder, f"/{SECRET}", _event("a")) == 200
    assert graveyard.bodies == []


@pytest.mark.parametrize("answer", ["nonsense", {"batchItemFailures": [{"itemIdentifier": "another"}]}])
def test_an_answer_that_nobody_understands_records_nothing(
    recorder: WebhookReceiver, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setattr(recorder, "_handler", lambda event, context: answer)
    assert _post_to(recorder, f"/{SECRET}", _event("a")) == 503


def test_an_event_that_cannot_be_laid_away_either_comes_again_and_stops_nothing(
    recorder: WebhookReceiver, graveyard: Graveyard
) -> None:
    unreadable = json.dumps({"Records": [{"refused": "by anybody"}]}).encode()
    for failure in ("raises", "refuses"):
        graveyard.failure = failure
        assert _post_to(recorder, f"/{SECRET}", unreadable) == 503
        assert _post_to(recorder, f"/{SECRET}", _event("a")) == 200

    graveyard.failure = ""
    assert _post_to(recorder, f"/{SECRET}", unreadable) == 200
    assert graveyard.bodies == [unreadable.decode()]


def test_a_body_that_is_cut_off_is_asked_for_again(recorder: WebhookReceiver, application: Application) -> None:
    sent = _event("a")
    head = f"POST /{SECRET} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(sent)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", recorder.port), timeout=10) as connection:
        connection.sendall(head + sent[:-5])
        connection.shutdown(socket.SHUT_WR)
        assert b" 400 " in connection.recv(1000)
    assert application.batches == []


def test_other_requests_are_refused(receiver: WebhookReceiver) -> None:
    url = f"http://127.0.0.1:{receiver.port}/"
    assert urllib3.request("GET", url, retries=False).status == 501

    for length in ("2000000", "9" * 5000):
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Length": length}
        assert urllib3.request("POST", url, headers=headers, body=b"", retries=False).status == 413

    headers = {"Authorization": f"Bearer {SECRET}", "Transfer-Encoding": "chunked"}
    assert urllib3.request("POST", url, headers=headers, body=iter([b"{}"]), retries=False).status == 411


def test_a_receiver_without_a_secret_does_not_start() -> None:
    with pytest.raises(ValueError, match="secret"):
        WebhookReceiver(app.ingest, app.bury, "")
