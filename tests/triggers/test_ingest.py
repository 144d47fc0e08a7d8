"""The real `app.ingest` and `app.ingest_direct`, called with the JSON that Lambda gives them."""

import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

import app
from chalicelib import runtime
from chalicelib.catalog.changes import CheckRequest
from chalicelib.catalog.notifications import parse_message
from chalicelib.db.locks import lock_keys
from chalicelib.errors import DatabaseUnavailable, MalformedNotification
from chalicelib.services.context import Transaction
from chalicelib.services.truth.buckets import adopt_bucket
from chalicelib.triggers import recording
from tests.support.notifications import body, s3_record, sqs_event
from tests.support.process import start_over

FIXTURES = sorted((Path(__file__).parent.parent / "fixtures" / "events").glob("*/*.json"))
DOUBTED = [path for path in FIXTURES if any(isinstance(e, CheckRequest) for e in parse_message(path.read_text()))]
CONTEXT = SimpleNamespace(aws_request_id="request-1")
PUT = "ObjectCreated:Put"
_numbers = count()


@pytest.fixture(scope="module", autouse=True)
def usual_process(database_url: str) -> Iterator[None]:
    """This process with the settings that most tests need."""
    usual = {
        "LANDFALL_DATABASE_URL": database_url,
        "LANDFALL_ANY_BUCKET": "true",
        "LANDFALL_INSPECTION": "schedule",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in usual.items():
            patch.setenv(name, value)
        start_over()
        yield
    start_over()


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Called with variables, it starts this process over with them, for one test."""

    def start(**environment: str) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        start_over()

    yield start
    monkeypatch.undo()
    start_over()


@pytest.fixture
def bucket() -> str:
    return f"handler-{next(_numbers)}"


def keys_of(bucket: str) -> set[str]:
    with runtime.transaction() as session:
        return set(session.execute(text("SELECT key FROM files WHERE bucket = :bucket"), {"bucket": bucket}).scalars())


def logged(capsys: pytest.CaptureFixture[str], message: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line.get("message") == message]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_captured_notification_is_handled_once_and_again(path: Path) -> None:
    """Where S3 must be asked, and is not here, it is to come again."""
    event = sqs_event(path.read_text())
    failed = [{"itemIdentifier": "m0"}] if path in DOUBTED else []
    assert app.ingest(event, CONTEXT) == {"batchItemFailures": failed}
    assert app.ingest(event, CONTEXT) == {"batchItemFailures": failed}


@pytest.mark.parametrize(
    "emitter", ["ministack-versioned", "localstack-versioned", "ministack-plain", "localstack-plain", "minio-plain"]
)
def test_a_capture_ends_the_same_forwards_backwards_and_twice(emitter: str) -> None:
    bodies = [path.read_text() for path in FIXTURES if path.parent.name == emitter and path not in DOUBTED]
    states = []
    for number, order in enumerate([bodies, bodies[::-1], bodies + bodies]):
        renamed = [text.replace("landfall-", f"capture-{emitter}-{number}-") for text in order]
        for message in renamed:
            assert app.ingest(sqs_event(message), CONTEXT) == {"batchItemFailures": []}
        query = text("""
            SELECT key, state, version_id, size, etag FROM files
            WHERE bucket LIKE :prefix ORDER BY key""")
        with runtime.transaction() as session:
            states.append(session.execute(query, {"prefix": f"capture-{emitter}-{number}-%"}).all())

    assert states[0]
    assert states[0] == states[1] == states[2]


def test_only_poison_is_reported_and_its_reason_logged(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    good = [body(s3_record(PUT, key, bucket=bucket, sequencer="01", size=1)) for key in ("a", "b")]

    answer = app.ingest(sqs_event(good[0], "{", good[1], '{"what": "is this"}'), CONTEXT)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}, {"itemIdentifier": "m3"}]}
    assert keys_of(bucket) == {"a", "b"}
    poison = logged(capsys, "poison message")
    assert [(line["message_id"], line["request_id"]) for line in poison] == [("m1", "request-1"), ("m3", "request-1")]
    assert all(len(line["reason"]) > 10 for line in poison)


def test_changes_are_logged_with_file_and_outcome_and_those_of_large_batches_are_counted(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    message = body(s3_record(PUT, "k", bucket=bucket, sequencer="02", size=1))
    late = body(s3_record(PUT, "k", bucket=bucket, sequencer="01", size=1))
    gone = body(s3_record("ObjectRemoved:Delete", "k", bucket=bucket, sequencer="03"))
    for text_ in (message, message, late, gone):
        app.ingest(sqs_event(text_), CONTEXT)

    lines = logged(capsys, "recorded")
    changes = [change for line in lines for change in line["changes"]]
    assert [change["outcome"] for change in changes] == ["created", "duplicate", "stale", "deleted"]
    assert [line["outcomes"] for line in lines] == [{change["outcome"]: 1} for change in changes]
    assert len({change["file_id"] for change in changes}) == 1
    assert {line["request_id"] for line in lines} == {"request-1"}

    app.ingest(sqs_event(*(body(s3_record(PUT, f"k{n}", bucket=bucket, size=1)) for n in range(11))), CONTEXT)
    (line,) = logged(capsys, "recorded")
    assert (line["outcomes"], "changes" in line) == ({"created": 11}, False)


def test_metrics_are_in_the_embedded_metric_format(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    app.ingest(sqs_event(body(s3_record(PUT, "k", bucket=bucket, size=1)), "{"), CONTEXT)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    (metric,) = [line for line in lines if "_aws" in line]
    assert (metric["Messages"], metric["Failures"], metric["Changes"]) == (1, 1, 1)

    names = [entry["Name"] for entry in metric["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
    assert names == ["Messages", "Failures", "Changes"]


def test_events_of_unknown_buckets_are_dropped_and_logged(
    process: Callable[..., None], bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    process(LANDFALL_ANY_BUCKET="false", LANDFALL_BUCKET="ours", LANDFALL_EXTRA_BUCKETS=f"{bucket}-extra")
    records = [s3_record(PUT, "k", bucket=name, size=1) for name in (bucket, f"{bucket}-extra")]

    assert app.ingest(sqs_event(body(*records)), CONTEXT) == {"batchItemFailures": []}

    assert (keys_of(bucket), keys_of(f"{bucket}-extra")) == (set(), {"k"})
    assert [line["bucket"] for line in logged(capsys, "events of an unknown bucket dropped")] == [bucket]


def test_events_of_adopted_buckets_are_recorded(process: Callable[..., None], bucket: str) -> None:
    process(LANDFALL_ANY_BUCKET="false", LANDFALL_BUCKET="ours")
    with runtime.context().transaction() as tx:
        adopt_bucket(tx, bucket)
    app.ingest(sqs_event(body(s3_record(PUT, "k", bucket=bucket, size=1))), CONTEXT)
    app.ingest_direct({"Records": [s3_record(PUT, "direct", bucket=bucket, size=1)]}, CONTEXT)
    assert keys_of(bucket) == {"k", "direct"}


def test_all_records_of_all_messages_are_recorded(bucket: str) -> None:
    bodies = [
        body(*(s3_record(PUT, f"{message}-{record}", bucket=bucket, size=1) for record in range(5)))
        for message in range(30)
    ]
    app.ingest(sqs_event(*bodies), CONTEXT)
    assert len(keys_of(bucket)) == 150


def test_the_whole_batch_fails_without_a_database(process: Callable[..., None], bucket: str) -> None:
    process(LANDFALL_DATABASE_URL="postgresql+pg8000://nobody@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnavailable):
        app.ingest(sqs_event(body(s3_record(PUT, "k", bucket=bucket, size=1))), CONTEXT)


def test_an_empty_batch_succeeds() -> None:
    assert app.ingest({"Records": []}, CONTEXT) == {"batchItemFailures": []}


def test_a_bucket_or_topic_may_invoke_the_function_directly(bucket: str) -> None:
    direct = {"Records": [s3_record(PUT, "direct", bucket=bucket, size=1)]}
    by_topic = {"Records": [s3_record(PUT, "topic", bucket=bucket, size=1)]}

    assert app.ingest_direct(direct, CONTEXT) == {"recorded": 1}
    assert app.ingest_direct({"Records": [{"Sns": {"Message": json.dumps(by_topic)}}]}, CONTEXT) == {"recorded": 1}
    assert keys_of(bucket) == {"direct", "topic"}
    with pytest.raises(MalformedNotification):
        app.ingest_direct({"some": "thing"}, CONTEXT)


def test_a_failed_inspection_is_left_to_the_schedule(process: Callable[..., None], bucket: str) -> None:
    process(LANDFALL_INSPECTION="inline", AWS_ENDPOINT_URL="http://127.0.0.1:1")
    with runtime.transaction() as session:
        session.execute(text("UPDATE object_versions SET inspect_after = NULL"))  # what other tests left
    message = sqs_event(body(s3_record(PUT, "k", bucket=bucket, sequencer="01", size=1)))

    assert app.ingest(message, CONTEXT) == {"batchItemFailures": []}

    query = text("SELECT inspect_after > now(), inspect_tries FROM object_versions WHERE bucket = :bucket")
    with runtime.transaction() as session:
        assert session.execute(query, {"bucket": bucket}).one() == (True, 1)


@pytest.fixture
def stuck(database_url: str) -> Iterator[Callable[[str, str], None]]:
    """A client that vanished in the middle of a transaction, in which it holds a key."""
    engine = create_engine(database_url)
    connection = engine.connect()

    def hold(bucket: str, key: str) -> None:
        lock_keys(Session(connection), [(bucket, key)])

    yield hold
    connection.close()
    engine.dispose()


def test_a_vanished_client_that_holds_a_key_blocks_only_that_key(
    bucket: str, stuck: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [f"{number}.txt" for number in range(40)]
    stuck(bucket, keys[0])
    event = sqs_event(*(body(s3_record(PUT, key, bucket=bucket)) for key in keys))
    failed = {failure["itemIdentifier"] for failure in app.ingest(event, CONTEXT)["batchItemFailures"]}

    ids = [record["messageId"] for record in event["Records"]]
    assert ids[0] in failed
    assert len(failed) <= 3  # keys share stripes, and a few are on the same one
    assert keys_of(bucket) == {key for key, identifier in zip(keys, ids, strict=True) if identifier not in failed}
    assert [line["messages"] for line in logged(capsys, "messages come again, since others hold their keys")] == [
        len(failed)
    ]


def test_a_held_key_and_a_refused_message_fail_alone(
    bucket: str, stuck: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "LOCK_TIMEOUT_MS", 500)  # the test above waits as long as the function does
    keys = [f"{number}.txt" for number in range(20)]
    stuck(bucket, keys[0])
    record = recording.record_events

    def refuse_one(tx: Transaction, events: Any, *patience: int) -> Any:
        events = list(events)
        if any(event.key == keys[1] for event in events):
            tx.session.execute(text("SELECT 1 / 0"))
        return record(tx, events, *patience)

    monkeypatch.setattr(recording, "record_events", refuse_one)
    event = sqs_event(*(body(s3_record(PUT, key, bucket=bucket)) for key in keys))
    failed = {failure["itemIdentifier"] for failure in app.ingest(event, CONTEXT)["batchItemFailures"]}

    ids = [record["messageId"] for record in event["Records"]]
    assert {ids[0], ids[1]} <= failed
    assert len(failed) <= 4
    assert keys_of(bucket) == {key for key, identifier in zip(keys, ids, strict=True) if identifier not in failed}


def test_the_server_ends_the_transaction_of_a_vanished_client(database_url: str) -> None:
    """The server ends its transaction: see `idle_in_transaction_session_timeout`."""
    with runtime.transaction() as session:
        found = session.execute(text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)"), {
            "names": ["idle_in_transaction_session_timeout", "lock_timeout"]})  # fmt: skip
        assert {row.name: int(row.setting) for row in found} == {
            "idle_in_transaction_session_timeout": 10_000,
            "lock_timeout": 5_000,
        }


def test_one_refused_message_of_many_costs_few_tries(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []
    record = recording.record_events

    def refuse_one(tx: Transaction, events: Any, *patience: int) -> Any:
        events = list(events)
        tries.append(len(events))
        if any(event.key == "bad" for event in events):
            tx.session.execute(text("SELECT 1 / 0"))
        return record(tx, events, *patience)

    monkeypatch.setattr(recording, "record_events", refuse_one)
    keys = [f"{number}" for number in range(255)] + ["bad"]

    event = sqs_event(*(body(s3_record(PUT, key, bucket=bucket)) for key in keys))
    assert [failure["itemIdentifier"] for failure in app.ingest(event, CONTEXT)["batchItemFailures"]] == [
        event["Records"][-1]["messageId"]
    ]
    assert keys_of(bucket) == set(keys) - {"bad"}
    assert len(tries) == 1 + 2 * 8
