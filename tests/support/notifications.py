"""Builds notifications as S3 writes them.

Chalice's own generators hide size, ETag and sequencer, and don't encode keys.
"""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def s3_record(
    event: str,
    key: str,
    *,
    bucket: str = "landfall-test",
    sequencer: str | None = None,
    version_id: str | None = None,
    size: int | None = None,
    etag: str | None = None,
    time: datetime | None = NOON,
) -> dict[str, Any]:
    """One entry of ``Records``; what is None is left out, as S3 does."""
    entry = {
        "key": quote_plus(key, safe="/"),
        "size": size,
        "eTag": etag,
        "versionId": version_id,
        "sequencer": sequencer,
    }
    return {
        "eventVersion": "2.6",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z" if time else None,
        "eventName": event,
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {name: value for name, value in entry.items() if value is not None},
        },
    }


def ceph_record(
    event: str,
    key: str,
    *,
    bucket: str,
    version_id: str = "",
    size: int = 0,
    etag: str = "",
    time: datetime | None = None,
    at: datetime | None = None,
) -> dict[str, Any]:
    """One entry of ``Records`` as Ceph writes it, with all it says. Without ``time``, it says 0.000000, as of a put that it
    refused. The sequencer is that of the moment ``at`` (None: now)."""
    moment = at or datetime.now(UTC)
    numbers = int(moment.timestamp()), moment.microsecond * 1000
    sequencer = "".join(number.to_bytes(4, "little").hex().upper() for number in numbers)
    entry = {"key": key, "size": size, "eTag": etag, "versionId": version_id, "sequencer": sequencer}
    return {
        "eventVersion": "2.2",
        "eventSource": "ceph:s3",
        "awsRegion": "default",
        "eventTime": f"{time:%Y-%m-%dT%H:%M:%S.%fZ}" if time else "0.000000",
        "eventName": event,
        "s3": {"configurationId": "landfall", "bucket": {"name": bucket}, "object": entry},
    }


def body(*records: dict[str, Any]) -> str:
    """A message body of these records."""
    return json.dumps({"Records": list(records)})


def sqs_event(*bodies: str, queue: str = "landfall-events") -> dict[str, Any]:
    """What Lambda hands to a function for these message bodies; message ids are ``m0``, ``m1``, …"""
    return {
        "Records": [
            {
                "messageId": f"m{number}",
                "receiptHandle": f"r{number}",
                "body": text,
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:us-east-1:000000000000:{queue}",
                "awsRegion": "us-east-1",
            }
            for number, text in enumerate(bodies)
        ]
    }


def put_of(file: dict[str, Any], sequencer: str = "0A", **fields: Any) -> dict[str, Any]:
    """The event of a put that left what a file's document says, but for ``fields``."""
    said = {name: file[name] for name in ("bucket", "version_id", "size", "etag")}
    return s3_record("ObjectCreated:Put", file["key"], sequencer=sequencer, **(said | fields))
