"""Reading keys as folders. `^@` is "starts with"; a folder ends with the first slash behind the prefix."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.db.cursors import decode_values, encode_values
from chalicelib.db.pages import Slice
from chalicelib.errors import InvalidCursor
from chalicelib.ids import first_uuid7

_BELOW = """
FROM files AS f
WHERE f.bucket = :bucket AND f.key ^@ :prefix AND f.state = 'stored'
    AND (CAST(:owner_id AS uuid) IS NULL OR f.owner_id = CAST(:owner_id AS uuid))
"""
_FOLDERS = text(
    """
SELECT coalesce(json_agg(g), '[]')::text FROM (
    SELECT substr(f.key, 1, length(:prefix) + strpos(substr(f.key, length(:prefix) + 1), '/')) AS prefix,
        count(*) AS files, coalesce(sum(f.size), 0) AS bytes"""
    + _BELOW
    + """
        AND strpos(substr(f.key, length(:prefix) + 1), '/') > 0
        AND (CAST(:after AS text) IS NULL OR f.key > CAST(:after AS text) COLLATE "C"
            AND NOT f.key ^@ CAST(:after AS text))
    GROUP BY 1 ORDER BY 1 LIMIT :limit) AS g
"""
)
_SUM = text("SELECT count(*) AS files, coalesce(sum(f.size), 0) AS bytes" + _BELOW)
_FILES = text("""
SELECT f.id FROM files AS f
WHERE f.bucket = :bucket AND f.key ^@ :prefix AND f.state <> 'deleted' AND f.id < CAST(:until AS uuid)
    AND (CAST(:after AS uuid) IS NULL OR f.id > CAST(:after AS uuid))
    AND (CAST(:owner_id AS uuid) IS NULL OR f.owner_id = CAST(:owner_id AS uuid))
ORDER BY f.id LIMIT :limit
""")


def list_folders(
    session: Session, bucket: str, prefix: str, owner_id: UUID | None, limit: int, cursor: str | None
) -> Slice[dict[str, Any]]:
    """A page of the folders right below ``prefix``, in the order of their names: prefix, name, files, bytes.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    bound = {
        "bucket": bucket,
        "prefix": prefix,
        "owner_id": owner_id,
        "after": _decode(cursor, prefix) if cursor else None,
        "limit": limit + 1,
    }
    rows = json.loads(session.execute(_FOLDERS, bound).scalar_one())
    for row in rows:
        row["name"] = row["prefix"][len(prefix) : -1]
    if len(rows) <= limit:
        return Slice(rows, None)
    return Slice(rows[:limit], encode_values("folders", rows[limit - 1]["prefix"]))


def sum_below(session: Session, bucket: str, prefix: str, owner_id: UUID | None) -> dict[str, int]:
    """Files and bytes below ``prefix``, at any depth."""
    row = session.execute(_SUM, {"bucket": bucket, "prefix": prefix, "owner_id": owner_id}).one()
    return {"files": row.files, "bytes": int(row.bytes)}


def files_below(
    session: Session,
    bucket: str,
    prefix: str,
    owner_id: UUID | None,
    until: datetime,
    after: UUID | None,
    limit: int,
) -> Sequence[UUID]:
    """Ids of files below ``prefix`` that aren't deleted and were made before ``until``, in the order of their creation."""
    bound = {
        "bucket": bucket,
        "prefix": prefix,
        "owner_id": owner_id,
        "until": first_uuid7(until),
        "after": after,
        "limit": limit,
    }
    return session.scalars(_FILES, bound).all()


def _decode(cursor: str, prefix: str) -> str:
    (folder,) = decode_values(cursor, "folders", 1)
    if not isinstance(folder, str) or not folder.startswith(prefix):
        raise InvalidCursor
    return folder
