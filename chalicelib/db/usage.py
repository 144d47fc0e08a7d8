"""What an owner uses: what counts towards its quotas, and what S3 holds beside that."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.db.scope import Owner

# Every version that isn't shown: those of deleted files, older ones of stored files, and those that moved files have left behind.
_TRASH = """
WITH mine AS (
    SELECT f.id, f.bucket, f.key, f.version_id FROM files AS f
    WHERE f.owner_id = CAST(:owner_id AS uuid) AND {of_session}
), places AS (
    SELECT bucket, key FROM mine
    UNION
    SELECT p.bucket, p.key FROM mine JOIN file_places AS p ON p.file_id = mine.id
), held AS (
    SELECT v.bucket, v.key, v.version_id, v.size, CASE WHEN EXISTS (
        SELECT FROM file_places AS l WHERE l.key = v.key AND l.bucket = v.bucket)
        THEN file_of_version(v.bucket, v.key, v.version_id)
        ELSE (SELECT f.id FROM files AS f WHERE f.key = v.key AND f.bucket = v.bucket) END AS file_id
    FROM places AS p JOIN object_versions AS v ON v.bucket = p.bucket AND v.key = p.key
    WHERE v.alive AND NOT v.is_delete_marker
)
SELECT count(*) AS versions, coalesce(sum(h.size), 0) AS bytes
FROM held AS h JOIN mine ON mine.id = h.file_id
WHERE (h.bucket, h.key, h.version_id) IS DISTINCT FROM (mine.bucket, mine.key, mine.version_id)
"""
_COUNTED = text("""
SELECT session_id, files, bytes FROM usage_now
WHERE owner_id = CAST(:owner_id AS uuid) AND session_id = ANY(CAST(:session_ids AS text[]))
""")
# Rows are locked in the order of their key, as by the triggers.
_ADD_UP = text("""
WITH taken AS (DELETE FROM usage_changes RETURNING owner_id, session_id, files, bytes), added AS (
    INSERT INTO usage AS u (owner_id, session_id, files, bytes)
    SELECT owner_id, session_id, sum(files), sum(bytes) FROM taken GROUP BY owner_id, session_id
    ORDER BY owner_id, session_id
    ON CONFLICT (owner_id, session_id) DO UPDATE SET files = u.files + excluded.files, bytes = u.bytes + excluded.bytes
)
SELECT count(*) FROM taken
""")
_TRASH_OF_ALL = text(_TRASH.format(of_session="true"))
_TRASH_OF_SESSION = text(_TRASH.format(of_session="f.session_id = :session_id"))


@dataclass(frozen=True, slots=True)
class UsageNow:
    """``files`` and ``bytes`` count towards quotas; ``trash_versions`` and ``trash_bytes`` are what S3 holds beside them."""

    files: int
    bytes: int
    trash_versions: int
    trash_bytes: int


def read_usage(session: Session, owner: Owner, session_id: str = "") -> UsageNow:
    """What an owner uses, in one of its sessions or, with ``""``, all in all."""
    counted = counted_usage(session, owner, [session_id])
    bound = {"owner_id": owner.user_id} | ({"session_id": session_id} if session_id else {})
    trash = session.execute(_TRASH_OF_SESSION if session_id else _TRASH_OF_ALL, bound).one()
    files, size = counted.get(session_id, (0, 0))
    return UsageNow(files, size, trash.versions, int(trash.bytes))


def counted_usage(session: Session, owner: Owner, session_ids: Collection[str]) -> dict[str, tuple[int, int]]:
    """Files and bytes that count towards the quotas of these sessions of an owner; ``""`` stands for all in all."""
    rows = session.execute(_COUNTED, {"owner_id": owner.user_id, "session_ids": list(session_ids)})
    return {row.session_id: (row.files, row.bytes) for row in rows}


def add_up_changes(session: Session) -> int:
    """Add what recording has changed to the owners' usage; returns how many changes there were.

    Readers see either the changes or their sum: it is one transaction, and they read both in one statement.
    """
    return int(session.execute(_ADD_UP).scalar_one())
