"""What the local queue lost, read from the bucket.

The emulator writes objects to disk at once, but its queue only when it is stopped in order. If it is killed right after
a PUT, it has the object and never tells of it. S3 and SQS keep both, and need none of this. At each start the bucket's
versions are compared with the catalogue's, a range of keys at a time, and differences are recorded as observations.
Events that are still in the queue, or that come meanwhile, merge with those.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from itertools import groupby, islice
from typing import Any

from botocore.exceptions import ClientError
from sqlalchemy import select
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.objects import Current, ListedVersion
from chalicelib.catalog.observations import observe_listed, observe_unlisted
from chalicelib.db.models import ObjectVersion
from chalicelib.db.recording import record_changes

_KEYS_AT_ONCE = 500


# The versions of one key, the oldest first.
_History = list[ListedVersion]
# The rows of one key by version id.
_Rows = dict[str, Any]


def catch_up(transaction: Callable[[], AbstractContextManager[Session]], s3: Any, bucket: str, now: datetime) -> int:
    """Record what the catalogue doesn't know about a bucket; returns how many changes it recorded.

    Raises:
        BotoCoreError, ClientError: the bucket can't be read.
    """
    recorded, after = 0, ""
    for batch in _batches(_listing(s3, bucket)):
        until = max(batch, default=None, key=str.encode)
        with transaction() as session:
            known = _known(session, bucket, after, until)
        changes = [
            change
            for key in known.keys() | batch.keys()
            for change in _differences(s3, bucket, key, batch.get(key, []), known.get(key, {}))
        ]
        with transaction() as session:
            record_changes(session, changes, now)
        recorded, after = recorded + len(changes), until or after
    return recorded


def _listing(s3: Any, bucket: str) -> Iterator[_History]:
    """Every key's history, in the order of keys."""
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
    # S3 lists the newest first, objects and markers apart. Times may be equal, so `IsLatest` decides.
    entries = (
        [_listed(entry) for name in ("Versions", "DeleteMarkers") for entry in page.get(name, [])] for page in pages
    )
    everything = (entry for page in entries for entry in sorted(page, key=lambda entry: entry.key.encode()))
    for _, versions in groupby(everything, key=lambda entry: entry.key):
        oldest_first = list(versions)[::-1]
        yield sorted(oldest_first, key=lambda entry: (entry.is_latest, entry.modified))


def _listed(entry: dict[str, Any]) -> ListedVersion:
    """A version or delete marker as ``ListObjectVersions`` shows it."""
    version_id = entry.get("VersionId") or "null"
    return ListedVersion(
        key=entry["Key"],
        version_id="" if version_id == "null" else version_id,
        is_marker="ETag" not in entry,
        is_latest=entry["IsLatest"],
        modified=entry["LastModified"].astimezone(UTC),
        size=entry.get("Size"),
        etag=entry.get("ETag", "").strip('"'),
    )


def _batches(histories: Iterator[_History]) -> Iterator[dict[str, _History]]:
    """Histories by key, some at a time. The last batch is empty: it stands for keys after the last listed one."""
    while batch := {history[0].key: history for history in islice(histories, _KEYS_AT_ONCE)}:
        yield batch
    yield {}


def _known(session: Any, bucket: str, after: str, until: str | None) -> dict[str, _Rows]:
    """The versions that the catalogue has of keys above ``after``, up to ``until``."""
    version = ObjectVersion
    columns = (
        *(version.key, version.version_id, version.put_rank, version.removal_rank),
        *(version.alive, version.etag, version.stored_at),
    )
    wanted = [version.bucket == bucket, version.key > after, *([version.key <= until] if until is not None else [])]
    found: dict[str, _Rows] = {}
    for row in session.execute(select(*columns).where(*wanted)):
        found.setdefault(row.key, {})[row.version_id] = row
    return found


def _differences(s3: Any, bucket: str, key: str, history: _History, rows: _Rows) -> Iterator[ObjectChange]:
    earlier: Current | None = None  # the version before
    for listed in history:
        row = rows.get(listed.version_id)
        if row is not None and (listed.version_id or _is_as_listed(row, listed)):
            earlier = Current(listed.version_id, row.put_rank)
        else:
            # Another object without a version id may have been in place of this one.
            above = [row.put_rank, row.removal_rank] if row is not None else []
            change = observe_listed(bucket, listed, earlier, above)
            earlier = Current(listed.version_id, change.rank)
            yield change
    for version_id in rows.keys() - {listed.version_id for listed in history} - {"*"}:
        # The listing is a moment old, and a version may have come since.
        if rows[version_id].alive and not _is_there(s3, bucket, key, version_id):
            yield observe_unlisted(bucket, key, version_id, rows[version_id].put_rank)


def _is_as_listed(row: Any, listed: ListedVersion) -> bool:
    """Whether a row without a version id is the object that is listed, or a later one: the listing is a moment old."""
    return bool(row.alive and row.etag == listed.etag) or (
        row.stored_at is not None and row.stored_at > listed.modified
    )


def _is_there(s3: Any, bucket: str, key: str, version_id: str) -> bool:
    """Whether S3 holds a version. It must say itself that there is none: a removal by version id can't be taken back."""
    try:
        s3.head_object(Bucket=bucket, Key=key, VersionId=version_id or "null")
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status not in (404, 405):  # 405: a delete marker
            raise
        return bool(status == 405)
    return True
