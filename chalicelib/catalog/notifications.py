"""Parsing notifications: from the body of a message to the changes that it tells of, in every envelope that emitters use.

Emitters are S3, SNS and EventBridge on AWS, and MinIO, Ceph's RADOS gateway, LocalStack, ministack and moto in their
place. Parsing is lenient where emitters differ, and strict where a guess could record something wrongly: bucket, key
and event name are required.

`CheckRequest` stands for what can't be believed (captures of it are in ``tests/fixtures/events``):

- Ceph 16.2.15 and 18.2.7: a put that was refused sends an event, too, without a time. In a bucket with versions, copies,
  forms, bulk deletions and some others name no version, and a deletion on top of a delete marker makes none.
- MinIO RELEASE.2025-09-07: the removal of a delete marker is sent as its creation, with the same version id. A delete
  marker that a lifecycle rule makes is sent as the removal of a version. In a bucket whose versioning is suspended, a
  bulk deletion of nothing sends a delete marker that isn't made.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pydantic_core import from_json

from chalicelib.catalog.ceph_events import as_far_as_believed, in_order
from chalicelib.catalog.changes import CheckRequest, InspectionRequest, Kind, ObjectChange, rank
from chalicelib.catalog.keys import check_key, decode_key
from chalicelib.catalog.media_types import as_kept
from chalicelib.catalog.parts import MAX_PART_BYTES, MAX_PARTS
from chalicelib.errors import MalformedNotification

# What can be recorded.
Told = ObjectChange | InspectionRequest
Event = Told | CheckRequest

# An SNS message inside an SNS message inside … is an attack on the stack, not a notification.
_MAX_ENVELOPES = 4
_HEX = "0123456789abcdefABCDEF"
# MinIO files these under ObjectCreated, but they create nothing.
_MINIO_TOUCHES = {"PutTagging", "DeleteTagging", "PutRetention", "PutLegalHold"}
_CEPH_EXPIRATION = "ObjectLifecycle:Expiration:"
_TOUCHES = (
    "ObjectTagging",
    "ObjectTransition",
    "ObjectLifecycle:Transition",
    "ObjectAcl",
    "LifecycleTransition",
    "ObjectRestore",
)
_EVENTBRIDGE_TOUCHES = {
    "Object ACL Updated",
    "Object Access Tier Changed",
    "Object Restore Completed",
    "Object Restore Expired",
    "Object Restore Initiated",
    "Object Storage Class Changed",
    "Object Tags Added",
    "Object Tags Deleted",
}


def parse_message(body: str | bytes) -> list[Event]:
    """Every event in one message body.

    Returns:
        Events in the message's order; empty for ``s3:TestEvent`` and for event types that concern no object's state.

    Raises:
        MalformedNotification: not JSON, no envelope known here, or a record without bucket, key or event name. The
            whole message is refused then: half of it must not be recorded while the other half is retried.
    """
    try:
        document = _decode(body)
    except (ValueError, RecursionError) as error:
        raise MalformedNotification(f"The message is not JSON: {error}.") from error
    return parse_document(document)


def _decode(text: str | bytes) -> Any:
    """Pydantic's decoder takes half the time of Python's, but refuses lone surrogates, which are no reason to lose an event."""
    try:
        return from_json(text)
    except (ValueError, TypeError):  # the latter for a text, and not bytes, with such a one
        return json.loads(text)


def parse_document(document: Any, depth: int = 0) -> list[Event]:
    """`parse_message` for JSON that is already decoded, as a Lambda invoked straight by S3, SNS or EventBridge gets."""
    if not isinstance(document, dict) or depth > _MAX_ENVELOPES:
        raise MalformedNotification("The message is not a JSON object that holds a notification.")
    records = document.get("Records")
    if isinstance(records, list):
        return [event for record in records for event in _record_events(record, depth)]
    if document.get("Event") == "s3:TestEvent":
        return []
    if isinstance(document.get("Message"), str) and "TopicArn" in document:
        return _parse_nested(document["Message"], depth)
    if "detail-type" in document and isinstance(document.get("detail"), dict):
        return list(_eventbridge_events(document))
    raise MalformedNotification("The message is no S3, SNS, EventBridge or MinIO notification.")


def _parse_nested(text: str, depth: int) -> list[Event]:
    try:
        return parse_document(_decode(text), depth + 1)
    except (ValueError, RecursionError) as error:
        raise MalformedNotification(f"The SNS message inside is not JSON: {error}.") from error


def _record_events(record: Any, depth: int) -> list[Event]:
    """The events of one record: S3's own, or SNS's as a Lambda function subscribed to a topic gets it."""
    if isinstance(record, dict) and isinstance(record.get("Sns"), dict):
        return _parse_nested(str(record["Sns"].get("Message")), depth)
    try:
        bucket, entry, event = record["s3"]["bucket"]["name"], record["s3"]["object"], record["eventName"]
        raw_key = entry["key"]
    except (KeyError, TypeError) as error:
        raise MalformedNotification(
            "A record lacks the bucket's name, the object's key or the event's name."
        ) from error
    bucket = _name(bucket, "bucket's name")
    event = _name(event, "event's name").removeprefix("s3:")
    if not isinstance(raw_key, str):
        raise MalformedNotification("A record's key is not text.")
    source = str(record.get("eventSource"))
    is_ceph = "ceph" in source
    key = check_key(raw_key if is_ceph else decode_key(raw_key))
    version_id = _version_id(entry.get("versionId"))
    kind = _record_kind(event)
    if kind is None:
        return [InspectionRequest(bucket, key, version_id, event)] if _is_touch(event) else []
    if kind is Kind.PUT and entry.get("size") is None and "minio" in source:
        entry = entry | {"size": 0}  # MinIO leaves a size of zero out
    if is_ceph:
        entry = entry | {"sequencer": in_order(_sequencer(entry.get("sequencer")))}
    change = _change(kind, bucket, key, version_id, event, record.get("eventTime"), entry, entry.get("eTag"))
    # Of all versions at once it tells only itself, and so it is.
    if "minio" in source and (kind is Kind.MARKER or (kind is Kind.REMOVAL and _is_by_a_rule(record))):
        return [CheckRequest(change, holds_without_versions=not version_id, is_of_marker=True)]
    return [as_far_as_believed(change) if is_ceph else change]


def _is_by_a_rule(record: dict[str, Any]) -> bool:
    """Whether one of MinIO's lifecycle rules did it."""
    return "ILM-Expiry" in str(record.get("source"))


@lru_cache(maxsize=256)
def _record_kind(event: str) -> Kind | None:
    family, _, detail = event.partition(":")
    if family == "ObjectCreated":
        return None if detail in _MINIO_TOUCHES else Kind.PUT
    if family in ("ObjectRemoved", "LifecycleExpiration"):
        return {"DeleteMarkerCreated": Kind.MARKER, "DeleteAllVersions": Kind.PURGE, "NoOP": None}.get(
            detail, Kind.REMOVAL
        )
    if event.startswith(_CEPH_EXPIRATION):
        return None if detail.endswith("AbortMultipartUpload") else Kind.REMOVAL
    if family == "ObjectSynced":  # Ceph: it came from another site
        return Kind.PUT if detail == "Create" else Kind.REMOVAL
    return None


def _is_touch(event: str) -> bool:
    return event.startswith(_TOUCHES) or event.partition(":")[2] in _MINIO_TOUCHES


def _eventbridge_events(document: dict[str, Any]) -> Iterator[Event]:
    detail, event = document["detail"], str(document["detail-type"])
    if event not in _EVENTBRIDGE_TOUCHES and event not in ("Object Created", "Object Deleted"):
        if document.get("source") == "aws.s3":
            return  # an event type that AWS added later concerns us only once we know it
        raise MalformedNotification(f"An EventBridge event of type {event[:100]!r} is no S3 notification.")
    try:
        bucket, entry = detail["bucket"]["name"], detail["object"]
        # EventBridge sends keys as they are. An emitter that encodes them can't be told apart, and decoding a raw key
        # would turn `a+b` into `a b`. So keys are not decoded.
        key = entry["key"]
    except (KeyError, TypeError) as error:
        raise MalformedNotification("An EventBridge event lacks the bucket's name or the object's key.") from error
    bucket = _name(bucket, "bucket's name")
    if not isinstance(key, str):
        raise MalformedNotification("An EventBridge event's key is not text.")
    version_id = _version_id(entry.get("version-id"))
    key = check_key(key)
    if event in _EVENTBRIDGE_TOUCHES:
        yield InspectionRequest(bucket, key, version_id, event)
        return
    kind = Kind.PUT
    if event == "Object Deleted":
        kind = Kind.MARKER if detail.get("deletion-type") == "Delete Marker Created" else Kind.REMOVAL
    name = f"{event}:{_text(detail.get('reason'), 'reason', 100)}"
    yield _change(kind, bucket, key, version_id, name, document.get("time"), entry, entry.get("etag"))


def _change(
    kind: Kind, bucket: str, key: str, version_id: str, event: str, time: Any, entry: dict[str, Any], etag: Any
) -> ObjectChange:
    sequencer, event_time = _sequencer(entry.get("sequencer")), _time(time)
    is_put = kind is Kind.PUT
    # Some emitters put a size and an ETag on removals (ministack: 0 and ""). They say nothing about an object.
    size = _size(entry.get("size")) if is_put else None
    etag = _text(etag, "ETag", 256).strip('"') if is_put else ""
    return ObjectChange(
        kind=kind,
        bucket=bucket,
        key=key,
        version_id="*" if kind is Kind.PURGE else version_id,
        rank=rank(sequencer, event_time, kind, etag, size),
        event_name=event,
        event_time=event_time,
        sequencer=sequencer,
        size=size,
        etag=etag,
        media_type=as_kept(entry.get("contentType")) if is_put else None,
        metadata=_metadata(entry.get("userMetadata")) if is_put else None,
    )


def _text(value: Any, what: str, limit: int) -> str:
    if isinstance(value, str) and len(value) <= limit and value.isascii() and value.isprintable():
        return value
    if value is None:
        return ""
    raise MalformedNotification(f"The {what} {str(value)[:100]!r} is not text of at most {limit} ASCII characters.")


def _name(value: Any, what: str) -> str:
    text = _text(value, what, 255)
    if not text:
        raise MalformedNotification(f"The {what} is empty.")
    return text


def _version_id(value: Any) -> str:
    text = _text(value, "version id", 1024)
    if text == "*":
        raise MalformedNotification("The version id '*' is none of S3's.")
    return "" if text == "null" else text


def _sequencer(value: Any) -> str:
    text = _text(value, "sequencer", 64)
    if text.strip(_HEX):
        raise MalformedNotification(f"The sequencer {text!r} is not hexadecimal.")
    return text


def _size(value: Any) -> int | None:
    if value is None:
        return None
    # A record with a larger number is forged, and sums of such numbers don't fit a bigint.
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_PARTS * MAX_PART_BYTES:
        raise MalformedNotification(f"The size {str(value)[:100]!r} is not a whole number of bytes.")
    return value


def _time(value: Any) -> datetime | None:
    """The event's time in UTC; None if it is missing or unreadable: the sequencer still orders the change."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is UTC:  # nearly always
            return moment
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _storable(text: str) -> str:
    """``text`` without what PostgreSQL text cannot hold: NUL and lone surrogates."""
    return text.replace("\x00", "").encode(errors="replace").decode()


def _metadata(value: Any) -> dict[str, str] | None:
    """User metadata by its short, lower-case names: ``X-Amz-Meta-Owner`` → ``owner``. Other headers are left out."""
    if not isinstance(value, dict):
        return None
    prefix = "x-amz-meta-"
    return {
        _storable(name.lower().removeprefix(prefix)): _storable(str(text))
        for name, text in value.items()
        if name.lower().startswith(prefix)
    }
