"""A large batch is recorded in two parts, of which the second is read while the first is recorded."""

import json
from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

import app
from chalicelib import runtime
from chalicelib.catalog.notifications import parse_message
from chalicelib.errors import DatabaseUnavailable
from chalicelib.services.context import Transaction
from chalicelib.triggers import ingest, recording
from tests.support.notifications import body, s3_record, sqs_event
from tests.support.process import start_over

CONTEXT = SimpleNamespace(aws_request_id="request-1")
PUT = "ObjectCreated:Put"
SIZE = 400  # a quarter of it is the first part
FIRST, REST = range(100), range(100, SIZE)
_numbers = count()


@pytest.fixture(scope="module", autouse=True)
def process(database_url: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDFALL_DATABASE_URL", database_url)
        patch.setenv("LANDFALL_ANY_BUCKET", "true")
        patch.setenv("LANDFALL_INSPECTION", "schedule")
        start_over()
        yield
    start_over()


@pytest.fixture
def bucket() -> str:
    return f"two-parts-{next(_numbers)}"


def put(bucket: str, key: object, sequencer: str = "01") -> str:
    return body(s3_record(PUT, str(key), bucket=bucket, sequencer=sequencer, size=1))


def batch(bucket: str) -> dict[str, Any]:
    return sqs_event(*(put(bucket, number) for number in range(SIZE)))


def replace(event: dict[str, Any], number: int, text_: str) -> str:
    """Give a message another body; returns its id."""
    event["Records"][number]["body"] = text_
    return str(event["Records"][number]["messageId"])


def sequencers_of(bucket: str) -> dict[str, str]:
    query = "SELECT key, split_part(rank, '!', 1) AS sequencer FROM files WHERE bucket = :bucket AND state = 'stored'"
    with runtime.transaction() as session:
        return {row.key: row.sequencer for row in session.execute(text(query), {"bucket": bucket})}


def lines(capsys: pytest.CaptureFixture[str]) -> tuple[list[Any], list[Any]]:
    """What was logged as recorded, and the metrics."""
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    metrics = [(line["Messages"], line["Failures"], line["Changes"]) for line in written if "_aws" in line]
    return [line["outcomes"] for line in written if line.get("message") == "recorded"], metrics


def test_poison_in_either_part_fails_alone_and_the_batch_is_logged_and_counted_once(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    event = batch(bucket)
    poison = [replace(event, number, "{") for number in (FIRST[0], FIRST[-1], REST[0], REST[-1])]
    failed = [failure["itemIdentifier"] for failure in app.ingest(event, CONTEXT)["batchItemFailures"]]
    assert failed == poison
    assert len(sequencers_of(bucket)) == SIZE - 4
    assert lines(capsys) == ([{"created": SIZE - 4}], [(SIZE - 4, 4, SIZE - 4)])
    assert app.ingest(event, CONTEXT) == {"batchItemFailures": [{"itemIdentifier": name} for name in poison]}
    assert lines(capsys) == ([{"duplicate": SIZE - 4}], [(SIZE - 4, 4, SIZE - 4)])


@pytest.mark.parametrize("first", ["01", "03"])
def test_the_later_of_two_puts_wins_in_whichever_part_it_is(bucket: str, first: str) -> None:
    event = batch(bucket)
    replace(event, FIRST[0], put(bucket, "k", first))
    replace(event, REST[-1], put(bucket, "k", "02"))
    assert app.ingest(event, CONTEXT) == {"batchItemFailures": []}
    assert sequencers_of(bucket)["k"] == max(first, "02").rstrip("0")


def test_the_second_part_is_read_while_the_first_is_recorded(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    is_recording, read_then = [False], []
    record, read = recording.record_events, parse_message

    def note_recording(*arguments: Any) -> Any:
        is_recording[0] = True
        try:
            return record(*arguments)
        finally:
            is_recording[0] = False

    def note_reading(text_: str) -> Any:
        read_then.append(is_recording[0])
        return read(text_)

    monkeypatch.setattr(recording, "record_events", note_recording)
    monkeypatch.setattr(ingest, "parse_message", note_reading)
    assert app.ingest(batch(bucket), CONTEXT) == {"batchItemFailures": []}
    assert read_then == [False] * len(FIRST) + [True] * len(REST)


def test_what_was_recorded_before_the_database_went_is_kept_and_told(
    bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = recording.record_events

    def lose_the_second(tx: Transaction, events: Any, *more: Any) -> Any:
        events = list(events)
        if len(events) == len(REST):
            tx.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return record(tx, events, *more)

    event = batch(bucket)
    with monkeypatch.context() as patch, pytest.raises(DatabaseUnavailable):
        patch.setattr(recording, "record_events", lose_the_second)
        app.ingest(event, CONTEXT)
    assert set(sequencers_of(bucket)) == {str(number) for number in FIRST}
    assert lines(capsys) == ([{"created": len(FIRST)}], [(len(FIRST), 0, len(FIRST))])

    assert app.ingest(event, CONTEXT) == {"batchItemFailures": []}
    assert len(sequencers_of(bucket)) == SIZE
    assert lines(capsys)[0] == [{"duplicate": len(FIRST), "created": len(REST)}]


def test_a_refused_message_of_the_first_part_does_not_keep_the_second_from_being_read(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = recording.record_events

    def refuse_one(tx: Transaction, events: Any, *more: Any) -> Any:
        events = list(events)
        recorded = record(tx, events, *more)
        if any(event.key == "0" for event in events):
            tx.session.execute(text("SELECT 1 / 0"))
        return recorded

    monkeypatch.setattr(recording, "record_events", refuse_one)
    event = batch(bucket)
    failed = [failure["itemIdentifier"] for failure in app.ingest(event, CONTEXT)["batchItemFailures"]]
    assert failed == [event["Records"][0]["messageId"]]
    assert set(sequencers_of(bucket)) == {str(number) for number in range(1, SIZE)}


def test_what_nobody_foresaw_while_reading_ahead_fails_the_batch_after_the_first_part(bucket: str) -> None:
    event = batch(bucket)
    del event["Records"][REST[5]]["messageId"]
    with pytest.raises(KeyError):
        app.ingest(event, CONTEXT)
    assert set(sequencers_of(bucket)) == {str(number) for number in FIRST}
