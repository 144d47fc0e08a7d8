"""Every envelope that emitters use becomes the right changes; anything else is refused with a reason."""

import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from chalicelib.catalog.changes import CheckRequest, InspectionRequest, Kind, ObjectChange
from chalicelib.catalog.notifications import parse_document, parse_message
from chalicelib.errors import MalformedNotification
from tests.support.notifications import body, s3_record

FIXTURES = Path(__file__).parent.parent / "fixtures" / "events"
HOSTILE_KEYS = [
    "a+b", "a b", "a%2Fb", "a/b", "é", "🎉", "folder/", "../../etc/passwd", "é" * 512, "x" * 1024, "a\nb", "'\"\\", " ",
]  # fmt: skip


def fixture(name: str) -> str:
    return (FIXTURES / name).read_text()


def only(text: str) -> ObjectChange:
    (notice,) = parse_message(text)
    assert isinstance(notice, ObjectChange)
    return notice


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*/*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_captured_notification_is_understood(path: Path) -> None:
    notices = parse_message(path.read_text())

    expected = {"test-event": 0, "two-records": 2, "noop": 0}
    assert len(notices) == next((n for part, n in expected.items() if part in path.stem), 1)
    touches = ("tagging", "transition", "restore")
    assert all(isinstance(notice, InspectionRequest) == any(t in path.stem for t in touches) for notice in notices)


def test_a_put_carries_everything_the_notification_says() -> None:
    change = only(fixture("aws-documented/01-put.json"))

    assert change.kind is Kind.PUT
    assert (change.bucket, change.key) == ("landfall-aws", "reports 2026/q1+q2 é.txt")
    assert change.version_id == "096fKKXTRTtl3on89fVO.nfljtsv6qko"
    assert (change.size, change.etag) == (1024, "d41d8cd98f00b204e9800998ecf8427e")
    assert change.event_time == datetime(2026, 11, 23, 6, 50, 1, 123000, tzinfo=UTC)
    assert change.event_name == "ObjectCreated:Put"


@pytest.mark.parametrize(
    "name", ["ministack-versioned/02-put", "localstack-versioned/02-put", "minio-versioned/01-put"]
)
def test_emitters_that_encode_keys_differently_name_the_same_key(name: str) -> None:
    assert only(fixture(f"{name}.json")).key == "reports 2026/q1+q2 é%2F🎉.txt"


@pytest.mark.parametrize("key", HOSTILE_KEYS)
@pytest.mark.parametrize("encode", [quote_plus, quote, lambda key: quote(key, safe="")])
def test_keys_are_decoded_exactly_once(key: str, encode) -> None:
    record = s3_record("ObjectCreated:Put", "replaced", size=1)
    record["s3"]["object"]["key"] = encode(key)
    assert only(body(record)).key == key


@pytest.mark.parametrize("key", ["a+b", "a%2Fb", "100%", "plain"])
def test_eventbridge_keys_are_not_decoded(key: str) -> None:
    document = json.loads(fixture("aws-documented/12-eventbridge-created.json"))
    document["detail"]["object"]["key"] = key
    assert only(json.dumps(document)).key == key


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aws-documented/03-delete.json", Kind.REMOVAL),
        ("aws-documented/04-delete-marker.json", Kind.MARKER),
        ("aws-documented/05-lifecycle-expiration.json", Kind.REMOVAL),
        ("aws-documented/13-eventbridge-delete-marker.json", Kind.MARKER),
        ("aws-documented/14-eventbridge-permanently-deleted.json", Kind.REMOVAL),
        ("localstack-versioned/11-undelete-by-removing-marker.json", Kind.REMOVAL),
        ("ministack-versioned/07-delete.json", Kind.MARKER),
        ("minio-plain/12-delete.json", Kind.REMOVAL),
        ("minio-versioned/11-delete-version.json", Kind.REMOVAL),
        ("minio-versioned/15-bulk-undelete.json", Kind.REMOVAL),
    ],
)
def test_removals_and_delete_markers_are_told_apart(name: str, kind: Kind) -> None:
    change = only(fixture(name))
    assert change.kind is kind
    assert (change.size, change.etag) == (None, "")


def test_an_absent_size_means_zero_from_minio_and_unknown_from_others() -> None:
    assert only(fixture("minio-plain/03-empty-object.json")).size == 0
    assert only(body(s3_record("ObjectCreated:Put", "k"))).size is None


def test_a_notification_of_minio_has_metadata_and_media_type() -> None:
    change = only(fixture("minio-versioned/01-put.json"))
    assert (change.media_type, change.metadata) == ("text/plain", {"owner": "demo"})


@pytest.mark.parametrize(
    "name", ["07-delete", "08-delete-again", "10-bulk-delete", "13-remove-marker", "18-suspended-delete"]
)
def test_a_delete_marker_of_minio_is_asked_for_because_its_removal_looks_alike(name: str) -> None:
    (request,) = parse_message(fixture(f"minio-versioned/{name}.json"))
    assert isinstance(request, CheckRequest)
    assert request.told.kind is Kind.MARKER


def test_a_lifecycle_rule_of_minio_may_have_made_a_delete_marker_or_removed_the_object() -> None:
    (versioned,) = parse_message(fixture("minio-versioned/21-lifecycle-expiration.json"))
    (plain,) = parse_message(fixture("minio-plain/15-lifecycle-expiration.json"))
    assert isinstance(versioned, CheckRequest)
    assert isinstance(plain, CheckRequest)
    assert (versioned.holds_without_versions, plain.holds_without_versions) == (False, True)


def test_notifications_by_sns_and_by_s3_say_the_same_changes() -> None:
    record = s3_record("ObjectCreated:Put", "k", size=1, sequencer="01")
    direct = {"Records": [record]}

    by_sns = {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": json.dumps(direct)}}]}
    assert parse_document(direct) == parse_document(by_sns)


@pytest.mark.parametrize("version_id", ["null", None, ""])
def test_the_null_version_is_the_unversioned_object(version_id: str | None) -> None:
    assert only(body(s3_record("ObjectCreated:Put", "k", version_id=version_id))).version_id == ""


def test_an_unknown_event_of_a_known_source_concerns_nothing() -> None:
    assert parse_message(body(s3_record("Replication:OperationMissedThreshold", "k"))) == []
    assert parse_message(json.dumps({"source": "aws.s3", "detail-type": "Object Hummed", "detail": {}})) == []


def _with_object(**changes: object) -> str:
    record = s3_record("ObjectCreated:Put", "k", size=1)
    record["s3"]["object"] |= changes
    return body(record)


POISON = {
    "not JSON": "{",
    "empty": "",
    "null": "null",
    "a list": "[]",
    "a number": "1",
    "an empty object": "{}",
    "records that are no objects": '{"Records": [1]}',
    "a record without a key": body({"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {}}}),
    "a record without a bucket": body({"eventName": "ObjectCreated:Put", "s3": {"object": {"key": "k"}}}),
    "a record without an event": body({"s3": {"bucket": {"name": "b"}, "object": {"key": "k"}}}),
    "a bucket that is no text": body({"eventName": "x", "s3": {"bucket": {"name": 7}, "object": {"key": "k"}}}),
    "an empty key": _with_object(key=""),
    "a key that is no text": _with_object(key=7),
    "a key that is not UTF-8": _with_object(key="%FF"),
    "a key with NUL": _with_object(key="a%00b"),
    "a key with a lone surrogate": _with_object(key="\ud800"),
    "a key that is too long": _with_object(key="k" * 1025),
    "a key with too many bytes": _with_object(key="é" * 513),
    "a sequencer that is not hexadecimal": _with_object(sequencer="xyz"),
    "a sequencer that is too long": _with_object(sequencer="0" * 65),
    "a sequencer that is no text": _with_object(sequencer=5),
    "a version id with NUL": _with_object(versionId="a\x00"),
    "a version id of '*'": _with_object(versionId="*"),
    "a negative size": _with_object(size=-1),
    "a size beyond 64 bits": _with_object(size=2**63),
    "a size beyond what any object has": _with_object(size=10_000 * 5 * 1024**3 + 1),
    "a size that is no number": _with_object(size="1"),
    "a size that is a boolean": _with_object(size=True),
    "an SNS message that is not JSON": json.dumps({"TopicArn": "t", "Message": "{"}),
    "SNS messages nested without end": json.dumps({"TopicArn": "t", "Message": "null"}),
    "an EventBridge event of another source": json.dumps({"source": "x", "detail-type": "y", "detail": {}}),
    "an EventBridge event without a key": json.dumps({"detail-type": "Object Created", "detail": {"bucket": {}}}),
    "deep nesting": "[" * 100_000,
    "one good record beside a bad one": json.dumps({"Records": [s3_record("ObjectCreated:Put", "k", size=1), {}]}),
}


@pytest.mark.parametrize("text", POISON.values(), ids=POISON.keys())
def test_poison_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(MalformedNotification, match=r".{10,}\."):
        parse_message(text)


def test_envelopes_nested_beyond_reason_are_refused() -> None:
    text = fixture("aws-documented/01-put.json")
    for _ in range(6):
        text = json.dumps({"TopicArn": "t", "Message": text})
    with pytest.raises(MalformedNotification):
        parse_message(text)


@pytest.mark.parametrize("time", [None, "yesterday", 17, "2026-13-01T00:00:00Z"])
def test_a_change_with_an_unreadable_event_time_is_kept(time: object) -> None:
    record = s3_record("ObjectCreated:Put", "k", size=1, sequencer="01")
    record["eventTime"] = time
    assert only(body(record)).event_time is None


def test_minio_is_believed_that_a_rule_has_removed_all_versions() -> None:
    record = s3_record("s3:ObjectRemoved:DeleteAllVersions", "k", sequencer="0C")
    by_a_rule = {**record, "eventSource": "minio:s3", "source": {"userAgent": "Internal: [ILM-Expiry]"}}
    (change,) = parse_message(json.dumps({"Records": [by_a_rule]}))
    assert isinstance(change, ObjectChange)
    assert (change.kind, change.version_id, change.sequencer) == (Kind.PURGE, "*", "0C")


def test_a_message_inside_a_message_that_nobody_can_read_is_poison() -> None:
    for inside in ("\ud800", '{"Records": "\ud800'):
        with pytest.raises(MalformedNotification):
            parse_message(json.dumps({"TopicArn": "arn", "Message": inside}))
