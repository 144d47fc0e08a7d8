"""Buckets to repair, what nobody told of them, and whether the catalogue is right afterwards."""

from datetime import timedelta
from itertools import count
from typing import Any

from sqlalchemy import Engine, text

from chalicelib import runtime
from chalicelib.catalog.audits import Audit, AuditRequest
from chalicelib.services.context import Context
from chalicelib.services.truth import auditing
from tests.support.aws import make_bucket, set_versioning
from tests.support.listings import listed_by_catalogue, listed_by_s3
from tests.support.notifications import body, s3_record
from tests.support.recording import deliver_messages

_numbers = count()


def suspended_bucket(s3: Any) -> str:
    bucket = f"repaired-{next(_numbers)}-suspended"
    make_bucket(s3, bucket, versioned=True)
    set_versioning(s3, bucket, "Suspended")
    return bucket


def repair(ctx: Context, bucket: str, prefix: str = "") -> Audit:
    return auditing.audit(ctx, AuditRequest(bucket, prefix, repairs=True, brake=1, grace=timedelta()))


def tell(
    engine: Engine,
    bucket: str,
    key: str,
    put: dict[str, Any],
    sequencer: str,
    event: str = "ObjectCreated:Put",
    **others: Any,
) -> None:
    fields = {
        "version_id": put.get("VersionId"),
        "etag": put["ETag"].strip('"'),
        "sequencer": sequencer,
        "size": 1,
    } | others
    deliver_messages(engine, [body(s3_record(event, key, bucket=bucket, **fields))], runtime.now())


def assert_right(engine: Engine, s3: Any, bucket: str) -> None:
    assert listed_by_catalogue(engine, bucket) == listed_by_s3(s3, bucket)
    statement = text("SELECT key, size, etag FROM files WHERE bucket = :bucket AND state = 'stored'")
    with engine.connect() as connection:
        stored = {tuple(row) for row in connection.execute(statement, {"bucket": bucket})}
    current = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    assert stored == {(one["Key"], one["Size"], one["ETag"].strip('"')) for one in current}
