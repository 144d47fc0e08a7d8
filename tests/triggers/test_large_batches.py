"""A large batch is recorded in one transaction, a piece at a time: each is read while the one before is recorded."""

import dataclasses
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import app
from chalicelib import runtime
from chalicelib.catalog.notifications import parse_message
from chalicelib.db import recording as db_recording
from chalicelib.db.locks import lock_keys
from chalicelib.errors import DatabaseUnavailable
from chalicelib.services.ingest import recording
from chalicelib.triggers import ingest, reading
from tests.support.notifications import body, s3_record, sqs_event
from tests.support.process import start_over

CONTEXT = SimpleNamespace(aws_request_id="request-1")
PUT = "ObjectCreated:Put"
SIZE = 700
FIRST, SECOND, THIRD = range(100), range(100, 400), range(400, SIZE)
PIECES = (FIRST, SECOND, THIRD)
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
    return f"large-batches-{next(_numbers)}"


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


def test_poison_in_any_piece_fails_alone_and_the_batch_is_logged_and_counted_once(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    event = batch(bucket)
    poison = [replace(event, number, "{") for piece in PIECES for number in (piece[0], piece[-1])]
    failed = [failure["itemIdentifier"] for failure in app.ingest(event, CONTEXT)["batchItemFailures"]]
    assert failed == poison
    assert len(sequencers_of(bucket)) == SIZE - 6
    assert lines(capsys) == ([{"created": SIZE - 6}], [(SIZE - 6, 6, SIZE - 6)])
    assert app.ingest(event, CONTEXT) == {"batchItemFailures": [{"itemIdentifier": name} for name in poison]}
    assert lines(capsys) == ([{"duplicate": SIZE - 6}], [(SIZE - 6, 6, SIZE - 6)])


def test_a_piece_of_nothing_but_poison_keeps_nothing_out(bucket: str) -> None:
    event = batch(bucket)
    poison = [replace(event, number, "{") for number in SECOND]
    failed = [failure["itemIdentifier"] for failure in app.ingest(event, CONTEXT)["batchItemFailures"]]
    assert failed == poison
    assert set(sequencers_of(bucket)) == {str(number) for number in (*FIRST, *THIRD)}


@pytest.mark.parametrize("first", ["01", "03"])
def test_the_later_of_two_puts_wins_in_whichever_piece_it_is(bucket: str, first: str) -> None:
    event = batch(bucket)
    replace(event, FIRST[0], put(bucket, "k", first))
    replace(event, THIRD[-1], put(bucket, "k", "02"))
    assert app.ingest(event, CONTEXT) == {"batchItemFailures": []}
    assert sequencers_of(bucket)["k"] == max(first, "02").rstrip("0")


def test_each_piece_is_read_while_the_one_before_is_recorded(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    working_on: list[int] = []
    read_then: list[int] = []
    record, read = recording.record_offer, parse_message

    def note_recording(*arguments: Any) -> Any:
        working_on.append(max([*working_on, 0]) + 1)
        try:
            return record(*arguments)
        finally:
            working_on.append(0)

    def note_reading(text_: str) -> Any:
        read_then.append(working_on[-1] if working_on else 0)
        return read(text_)

    monkeypatch.setattr(recording, "record_offer", note_recording)
    monkeypatch.setattr(reading, "parse_message", note_reading)
    assert app.ingest(batch(bucket), CONTEXT) == {"batchItemFailures": []}
    assert read_then == [0] * len(FIRST) + [1] * len(SECOND) + [2] * len(THIRD)


@pytest.mark.parametrize("piece", [1, 2, 3])
def test_nothing_of_a_batch_is_kept_if_the_database_goes_amid_it_and_all_of_it_comes_again(
    bucket: str, piece: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record, calls = recording.record_offer, count(1)

    def lose(session: Session, *more: Any) -> Any:
        if next(calls) == piece:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return record(session, *more)

    event = batch(bucket)
    with monkeypatch.context() as patch, pytest.raises(DatabaseUnavailable):
        patch.setattr(recording, "record_offer", lose)
        app.ingest(event, CONTEXT)
    assert sequencers_of(bucket) == {}
    assert lines(capsys) == ([], [])

    assert app.ingest(event, CONTEXT) == {"batchItemFailures": []}
    assert len(sequencers_of(bucket)) == SIZE
    assert lines(capsys)[0] == [{"created": SIZE}]


@pytest.mark.parametrize("refused", [0, 399, SIZE - 1])
def test_a_message_that_the_database_refuses_fails_alone_in_whichever_piece_it_is(
    bucket: str, refused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = db_recording.record_offer

    def refuse_one(session: Session, offered: db_recording.Offer, *more: Any) -> Any:
        recorded = merge(session, offered, *more)
        if any(change.key == str(refused) for change in offered.changes):
            session.execute(text("SELECT 1 / 0"))
        return recorded

    for module in (recording, db_recording):
        monkeypatch.setattr(module, "record_offer", refuse_one)
    event = batch(bucket)
    failed = [failure["itemIdentifier"] for failure in app.ingest(event, CONTEXT)["batchItemFailures"]]
    assert failed == [event["Records"][refused]["messageId"]]
    assert set(sequencers_of(bucket)) == {str(number) for number in range(SIZE) if number != refused}


def test_what_the_driver_would_refuse_fails_alone_in_a_piece_that_is_made_ready_meanwhile(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_nul(text_: str) -> Any:
        return [
            dataclasses.replace(change, etag="a\0b") if change.key == "500" else change
            for change in parse_message(text_)
        ]

    monkeypatch.setattr(reading, "parse_message", with_nul)
    event = batch(bucket)
    failed = [failure["itemIdentifier"] for failure in app.ingest(event, CONTEXT)["batchItemFailures"]]
    assert failed == [event["Records"][500]["messageId"]]
    assert set(sequencers_of(bucket)) == {str(number) for number in range(SIZE) if number != 500}


def test_what_nobody_foresaw_while_reading_ahead_fails_the_batch_and_keeps_the_pieces_before(bucket: str) -> None:
    event = batch(bucket)
    del event["Records"][SECOND[5]]["messageId"]
    with pytest.raises(KeyError):
        app.ingest(event, CONTEXT)
    assert set(sequencers_of(bucket)) == {str(number) for number in FIRST}


def test_what_s3_must_be_asked_about_is_recorded_after_the_rest(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event of a tag is about a version, and asks for its inspection; it is recorded without holding all keys."""
    event = batch(bucket)
    replace(event, SECOND[0], body(s3_record("ObjectTagging:Put", "7", bucket=bucket, sequencer="02")))
    locked: list[str] = []
    for name in ("lock_all_keys", "lock_keys"):
        monkeypatch.setattr(recording, name, _noting(locked, name, getattr(recording, name)))
    assert app.ingest(event, CONTEXT) == {"batchItemFailures": []}
    assert locked == ["lock_all_keys", "lock_keys"]
    assert len(sequencers_of(bucket)) == SIZE - 1


def test_an_event_of_a_bucket_that_is_not_recorded_is_dropped_in_whichever_piece_it_is(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = f"strange-{bucket}"
    monkeypatch.setattr(ingest, "unrecorded_among", lambda _ctx, names: {strange} & set(names))
    event = batch(bucket)
    for piece in PIECES:
        replace(event, piece[-1], put(strange, "k"))
    assert app.ingest(event, CONTEXT) == {"batchItemFailures": []}
    assert sequencers_of(strange) == {}
    assert len(sequencers_of(bucket)) == SIZE - len(PIECES)


def _noting(calls: list[str], name: str, do: Any) -> Any:
    def call(*arguments: Any) -> Any:
        calls.append(name)
        return do(*arguments)

    return call


def test_a_batch_does_not_wait_for_a_key_that_is_held_but_records_the_others(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    event = batch(bucket)
    with runtime.transaction() as session:
        lock_keys(session, [(bucket, "555")])
        failed = {failure["itemIdentifier"] for failure in app.ingest(event, CONTEXT)["batchItemFailures"]}
        recorded = set(sequencers_of(bucket))
    assert event["Records"][555]["messageId"] in failed
    assert len(failed) < SIZE / 20, "keys share stripes, but not so many"
    assert len(recorded) == SIZE - len(failed)
    assert app.ingest(event, CONTEXT) == {"batchItemFailures": []}
    assert len(sequencers_of(bucket)) == SIZE


def test_large_batches_of_the_same_keys_at_once_wait_for_each_other_in_no_circle(bucket: str) -> None:
    events = [
        sqs_event(*(put(bucket, number, f"{turn:02}") for number in order))
        for turn, order in enumerate((range(SIZE), range(SIZE - 1, -1, -1), [*THIRD, *FIRST, *SECOND]), 1)
    ]
    with ThreadPoolExecutor(len(events)) as pool:
        answers = list(pool.map(lambda event: app.ingest(event, CONTEXT), events))
    assert answers == [{"batchItemFailures": []}] * len(events)
    assert set(sequencers_of(bucket).values()) == {f"{len(events):02}".rstrip("0")}


@pytest.mark.parametrize("size", [0, 1, 256, 257, 299, 300, 301, 1000, 10_000])
def test_pieces_are_the_batch(size: int) -> None:
    records = [{"messageId": str(number)} for number in range(size)]
    pieces = list(reading._pieces(records))
    assert [record for piece in pieces for record in piece] == records
    assert len(pieces) <= 5
