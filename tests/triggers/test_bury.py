"""The function that gets dead events: what can be recorded by now is, the rest is laid away, and nothing is lost."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

import app
from chalicelib import runtime
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.db.locks import lock_keys
from chalicelib.errors import DatabaseUnavailable
from dev.event_source import Context
from tests.support.notifications import body, s3_record, sqs_event
from tests.support.process import start_over

CONTEXT = Context("bury", 30)
GOOD = body(s3_record("ObjectCreated:Put", "late.txt", bucket="landfall-local", size=1))


@pytest.fixture
def url(new_migrated_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    found = new_migrated_database()
    monkeypatch.setenv("LANDFALL_DATABASE_URL", found)
    start_over()
    yield found
    runtime.engine().dispose()
    start_over()


def dead(url: str) -> list[tuple[Any, ...]]:
    engine = create_catalog_engine(url)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text("SELECT message_id, about, reason FROM dead_events"))]
    engine.dispose()
    return found


def letters(*bodies: str) -> dict[str, Any]:
    event = sqs_event(*bodies, queue="landfall-events-dead")
    for record in event["Records"]:
        record["attributes"]["SentTimestamp"] = "1700000000000"
    return event


def test_what_can_be_recorded_by_now_is_recorded_and_the_rest_laid_away(url: str) -> None:
    assert app.bury(letters(GOOD, "{"), CONTEXT) == {"batchItemFailures": []}
    with runtime.transaction() as session:
        assert session.scalar(text("SELECT state FROM files WHERE key = 'late.txt'")) == "stored"
    ((message_id, about, reason),) = dead(url)
    assert (message_id, about) == ("m1", "{")
    assert "JSON" in reason


def test_an_event_whose_key_others_hold_comes_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.db.engine.LOCK_TIMEOUT_MS", 50)
    engine = create_catalog_engine(url)
    with transaction(engine) as session:
        lock_keys(session, [("landfall-local", "late.txt")])
        assert app.bury(letters(GOOD), CONTEXT) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert dead(url) == []
    assert app.bury(letters(GOOD), CONTEXT) == {"batchItemFailures": []}
    assert dead(url) == []
    engine.dispose()


def test_a_letter_that_comes_twice_is_one(url: str) -> None:
    for _ in range(2):
        app.bury(letters("{"), CONTEXT)
    assert len(dead(url)) == 1


def test_the_reason_is_what_lambda_says_of_a_direct_invocation(url: str) -> None:
    event = letters("{")
    said = {
        "stringValue": "The bucket is on fire.",
        "dataType": "String",
        "stringListValues": [],
        "binaryListValues": [],
    }
    event["Records"][0]["messageAttributes"] = {"ErrorMessage": said}
    app.bury(event, CONTEXT)
    assert dead(url)[0][2] == "The bucket is on fire."


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ValueError("no such thing\nat all"), "ValueError: no such thing"), (ValueError(), "ValueError")],
)
def test_an_event_that_the_database_refuses_is_laid_away(
    url: str, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr("chalicelib.services.ingest.telling.record_events", refuse)
    app.bury(letters(GOOD), CONTEXT)
    assert dead(url) == [("m0", "landfall-local/late.txt", reason)]


def test_without_a_database_the_letters_come_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise DatabaseUnavailable("The database does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr("chalicelib.services.ingest.telling.record_events", refuse)
        patch.setattr("chalicelib.services.ingest.dead_events.dead_events.add_dead_event", refuse)
        failed = app.bury(letters(GOOD, "{"), CONTEXT)["batchItemFailures"]
        assert [one["itemIdentifier"] for one in failed] == ["m0", "m1"]
    assert dead(url) == []
    assert app.bury(letters(GOOD, "{"), CONTEXT) == {"batchItemFailures": []}


def test_events_of_unknown_buckets_are_dropped(url: str) -> None:
    app.bury(letters(body(s3_record("ObjectCreated:Put", "k", bucket="elsewhere", size=1))), CONTEXT)
    assert dead(url) == []
