"""Reading the history of one key: its versions and its events, page by page."""

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from chalicelib.db.pages import Slice
from chalicelib.errors import InvalidCursor

# The current version is found as recording finds it: see `_CURRENT` in chalicelib/db/recording.py. A row without a put
# is only the tombstone of a version whose put never came, and "*" that of a whole key.
_VERSIONS = text("""
SELECT coalesce(json_agg(p), '[]')::text FROM (
    SELECT v.version_id, v.is_delete_marker, NOT v.alive AS removed, v.size, v.etag, v.media_type, v.inspection, v.stored_at,
        v.put_rank AS place,
        v.version_id IS NOT DISTINCT FROM (
            SELECT c.version_id FROM object_versions AS c
            WHERE c.bucket = :bucket AND c.key = :key AND c.alive
            ORDER BY c.put_rank DESC, c.version_id DESC LIMIT 1) AS is_current
    FROM object_versions AS v
    WHERE v.bucket = :bucket AND v.key = :key AND v.put_rank <> '' AND v.version_id <> '*'
        AND (CAST(:place AS text) IS NULL OR (v.put_rank, v.version_id) < (:place, :version_id))
    ORDER BY v.put_rank DESC, v.version_id DESC
    LIMIT :limit) AS p
""")

# An event without a time is kept at the epoch: the partition key can't be null.
_EVENTS = text("""
SELECT coalesce(json_agg(p), '[]')::text FROM (
    SELECT e.id, e.change, e.event_name, e.version_id, e.sequencer, e.size, e.etag, nullif(e.event_time, 'epoch') AS
        event_time, e.recorded_at, e.rank AS place
    FROM file_events AS e
    WHERE e.bucket = :bucket AND e.key = :key
        AND (CAST(:place AS text) IS NULL OR (e.rank, e.version_id) > (:place, :version_id))
    ORDER BY e.rank, e.version_id
    LIMIT :limit) AS p
""")


def list_versions(session: Session, bucket: str, key: str, limit: int, cursor: str | None) -> Slice[dict[str, Any]]:
    """A page of a key's versions, the newest put first.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    return _page(session, _VERSIONS, "versions", bucket, key, limit, cursor)


def list_events(session: Session, bucket: str, key: str, limit: int, cursor: str | None) -> Slice[dict[str, Any]]:
    """A page of a key's events, in the order in which they happened, not that in which they arrived.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    return _page(session, _EVENTS, "events", bucket, key, limit, cursor)


def _page(
    session: Session, statement: TextClause, name: str, bucket: str, key: str, limit: int, cursor: str | None
) -> Slice[dict[str, Any]]:
    place, version_id = _decode(name, cursor) if cursor else (None, None)
    bound = {"bucket": bucket, "key": key, "place": place, "version_id": version_id, "limit": limit + 1}
    rows = json.loads(session.execute(statement, bound).scalar_one())
    if len(rows) <= limit:
        return Slice(rows, None)
    last = rows[limit - 1]
    return Slice(rows[:limit], _encode(name, last["place"], last["version_id"]))


def _encode(name: str, place: str, version_id: str) -> str:
    return urlsafe_b64encode(json.dumps([name, place, version_id]).encode()).decode().rstrip("=")


def _decode(name: str, cursor: str) -> tuple[str, str]:
    try:
        found = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        raise InvalidCursor from None
    if not isinstance(found, list) or len(found) != 3 or found[0] != name:
        raise InvalidCursor
    _, place, version_id = found
    if not all(isinstance(value, str) and value.isascii() and "\0" not in value for value in (place, version_id)):
        raise InvalidCursor
    return place, version_id
