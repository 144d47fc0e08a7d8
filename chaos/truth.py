"""What must be true when all is healed. Each check says what differs."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from sqlalchemy import Connection, text

from chalicelib.catalog.media_types import UNTOLD
from chaos.members import Member
from chaos.stack import Stack
from tests.support.listings import listed_by_catalogue, listed_by_s3


@dataclass(frozen=True)
class Difference:
    """A sentence about what is wrong; and where, as far as it is about a file."""

    sentence: str
    bucket: str = ""
    key: str = ""
    file_id: str = ""


_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FILES = text("""
SELECT f.id, f.bucket, f.key, f.state, f.version_id, f.size, f.etag, f.media_type, f.detected_media_type, f.owner_id,
    f.metadata, f.restoring,
    v.size AS v_size, v.etag AS v_etag, v.stored_at IS NOT DISTINCT FROM f.stored_at AS is_same_time,
    v.inspection ->> 'detected_media_type' IS NOT DISTINCT FROM f.detected_media_type AS is_same_type
FROM files AS f LEFT JOIN object_versions AS v ON v.bucket = f.bucket AND v.key = f.key AND v.version_id = f.version_id
WHERE f.bucket = :bucket
""")
_COUNTED = """
SELECT coalesce(t.owner_id, u.owner_id) AS owner, coalesce(t.session_id, u.session_id) AS session,
    t.files AS real_files, t.bytes AS real_bytes, u.files, u.bytes
FROM (
    SELECT f.owner_id, s.session_id, count(*) AS files,
        sum(CASE f.state WHEN 'stored' THEN coalesce(f.size, 0) ELSE f.reserved END) AS bytes
    FROM files AS f CROSS JOIN LATERAL (VALUES (''), (f.session_id)) AS s (session_id)
    WHERE f.owner_id IS NOT NULL AND f.state <> 'deleted' AND s.session_id IS NOT NULL GROUP BY 1, 2
) AS t FULL JOIN usage_now AS u ON u.owner_id = t.owner_id AND u.session_id = t.session_id
WHERE (coalesce(t.files, 0), coalesce(t.bytes, 0)) <> (coalesce(u.files, 0), coalesce(u.bytes, 0))
"""
# What each of these finds is wrong, whatever it is.
_NONE_OF_THESE = {
    "usage is not the truth": _COUNTED,
    "a job is stuck": "SELECT id, kind, state, tries, problem, progress FROM jobs WHERE state IN ('queued', 'running')",
    "a version was not inspected": """
        SELECT bucket, key, version_id, inspect_after, inspect_tries, inspect_problem FROM object_versions
        WHERE alive AND NOT is_delete_marker AND (inspect_after IS NOT NULL OR inspection IS NULL)""",
    "a file is not indexed": """
        SELECT q.file_id, f.bucket, f.key, f.state FROM search_queue AS q LEFT JOIN files AS f ON f.id = q.file_id""",
    "a file can't be searched for": """
        SELECT f.id AS file_id, f.bucket, f.key FROM files AS f
        WHERE f.state = 'stored' AND NOT EXISTS (SELECT FROM file_search AS s WHERE s.file_id = f.id)""",
    "an event is dead": "SELECT about, reason FROM dead_events WHERE strpos(body, 'poison') = 0",
    "an upload is open": """
        SELECT u.file_id, f.bucket, f.key, f.state, u.problem FROM uploads AS u JOIN files AS f ON f.id = u.file_id
        WHERE u.closed_at IS NULL""",
}


def differences(stack: Stack) -> Iterator[Difference]:
    """Where buckets and catalogue differ, and what is left over."""
    with stack.engine.connect() as connection:
        for bucket in stack.buckets:
            yield from _in_bucket(stack, connection, bucket)
        for what, query in _NONE_OF_THESE.items():
            for row in connection.execute(text(query)):
                found = dict(row._mapping)
                names = {name: str(found[name] or "") for name in ("bucket", "key", "file_id") if name in found}
                yield Difference(f"{what}: {found}", **names)


def broken_promises(stack: Stack, members: list[Member]) -> Iterator[Difference]:
    """What members were told, and what is not so."""
    with stack.engine.connect() as connection:
        rows = connection.execute(_FILES, {"bucket": stack.buckets[0]})
        files = {str(row.id): row for row in rows}
    for member in members:
        for row in files.values():
            if row.key.startswith(f"{member.user_id}/") and row.state == "stored" and row.owner_id is None:
                yield Difference(f"file {row.id} at {row.key!r} belongs to nobody", row.bucket, row.key, str(row.id))
        yield from (Difference(surprise, file_id=_ID.findall(surprise)[0]) for surprise in member.memory.surprises)
        yield from (found for file_id in member.memory.files for found in _of_file(member, file_id, files))


def _of_file(member: Member, file_id: str, files: Mapping[str, Any]) -> Iterator[Difference]:
    told, row = member.memory.files[file_id], files.get(file_id)
    if row is None:
        yield Difference(f"file {file_id} of {member.user_id} has no row", file_id=file_id)
        return
    where = {"bucket": row.bucket, "key": row.key, "file_id": file_id}
    if str(row.owner_id) != member.user_id:
        yield Difference(f"file {file_id} of {member.user_id} belongs to {row.owner_id}", **where)
    if (row.metadata or {}).get("note") not in told.notes:
        sentence = f"file {file_id} has the metadata {row.metadata}, and its owner was told of one of {told.notes}"
        yield Difference(sentence, **where)
    if told.state in ("stored", "deleted") and row.state != told.state:
        sentence = f"file {file_id} at {row.key} is {row.state}, and its owner was told that it is {told.state}"
        yield Difference(sentence, **where)


def _in_bucket(stack: Stack, connection: Connection, bucket: str) -> Iterator[Difference]:
    in_bucket = listed_by_s3(stack.s3, bucket)
    in_catalogue = listed_by_catalogue(stack.engine, bucket)
    for who, found in (("bucket", in_bucket - in_catalogue), ("catalogue", in_catalogue - in_bucket)):
        for version in sorted(found, key=str):
            yield Difference(f"only the {who} {bucket} has {version}", bucket, version[0])
    current = {key: (version, *what) for key, version, *what, latest, marker in in_bucket if latest and not marker}
    rows = {row.key: row for row in connection.execute(_FILES, {"bucket": bucket})}
    for key, what in current.items():
        if key not in rows:
            yield Difference(f"an object of {bucket} without a row: {key!r} {what}", bucket, key)
    for row in rows.values():
        for sentence in _of_row(stack, row, current.get(row.key)):
            yield Difference(sentence, bucket, row.key, str(row.id))


def _of_row(stack: Stack, row: Any, there: tuple[Any, ...] | None) -> Iterator[str]:
    """What is wrong with a file. ``there`` is the current object of its key."""
    name = f"file {row.id} at {row.bucket} {row.key!r}"
    shown = (row.version_id, row.size, row.etag) if row.state == "stored" else None
    if shown != there:
        yield f"{name} is {row.state} {shown}, and the bucket has {there}"
    elif shown is not None:
        yield from _columns(stack, row, name)
    if row.state == "pending":
        yield f"{name} still waits for its bytes"
    if row.restoring is not None:
        yield f"{name} still has a reservation for a restore"


def _columns(stack: Stack, row: Any, name: str) -> Iterator[str]:
    if (row.size, row.etag, True, True) != (row.v_size, row.v_etag, row.is_same_time, row.is_same_type):
        yield f"{name} does not show what is known of its version: {dict(row._mapping)}"
    try:
        head = stack.s3.head_object(Bucket=row.bucket, Key=row.key)
    except ClientError as error:
        yield f"{name}: S3 lists its object, and answers a HEAD with {error}"
        return
    told = head.get("ContentType", "")
    # Where S3's type says nothing, the file shows what its bytes look like.
    if row.media_type != told and not (told in UNTOLD and row.media_type == row.detected_media_type):
        yield f"{name} is of {row.media_type}, and S3 says {told}"
