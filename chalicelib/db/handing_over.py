"""Giving files to another user, and what stands in the way of a user's deletion."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.db.arrays import plain
from chalicelib.db.locks import lock_files
from chalicelib.db.scope import Owner

_OF_OWNER = """
SELECT id FROM files WHERE owner_id = CAST(:owner_id AS uuid) {of_session} {of_state}
    AND id > CAST(:after AS uuid) ORDER BY id LIMIT :limit
"""
_FIRST = UUID(int=0)
# Others may have changed the files since they were found: only those that are still the owner's are given away. A deleted file
# keeps `updated_at`, which says since when it is deleted. Uploads follow, so that a client may go on with them.
_GIVE = """
WITH given AS (
    UPDATE files SET owner_id = CAST(:to AS uuid), session_id = NULL,
        updated_at = CASE WHEN state = 'deleted' THEN updated_at ELSE :now END
    WHERE id = ANY(CAST(:ids AS uuid[])) AND owner_id IS NOT DISTINCT FROM CAST(:owner_id AS uuid) {of_session}
    RETURNING id
), followed AS (
    UPDATE uploads SET owner_id = CAST(:to AS uuid) WHERE file_id IN (SELECT id FROM given)
)
SELECT count(*) FROM given
"""
# What a deleted file's row says by itself goes; that there was an object at the key is history, and stays.
_FREE = text("""
UPDATE files SET owner_id = NULL, session_id = NULL, name = 'erased', metadata = '{}', tags = '{}', updated_at = updated_at
WHERE id = ANY(CAST(:ids AS uuid[])) AND owner_id = CAST(:owner_id AS uuid) AND state = 'deleted' AND restoring IS NULL
    AND (moved_to IS NOT NULL OR purged_at >= updated_at)
""")
# Counting stops where it doesn't matter any more how many there are.
_LEFT = text("""
SELECT count(*) FILTER (WHERE state <> 'deleted') AS files, count(*) FILTER (WHERE is_trash) AS trash,
    count(*) FILTER (WHERE state = 'deleted' AND NOT is_trash) AS tombstones,
    (SELECT count(*) FROM sessions WHERE owner_id = CAST(:owner_id AS uuid)) AS sessions
FROM (
    SELECT state, state = 'deleted' AND moved_to IS NULL AND (purged_at IS NULL OR purged_at < updated_at) AS is_trash
    FROM files WHERE owner_id = CAST(:owner_id AS uuid) LIMIT :most) AS looked_at
""")


@dataclass(frozen=True, slots=True)
class Left:
    """What still belongs to a user; files are counted up to some thousand.

    Attributes:
        files: those that are stored or pending.
        trash: deleted ones that may still be restored.
        tombstones: other deleted ones. They hold nobody up.
    """

    files: int
    trash: int
    tombstones: int
    sessions: int


def count_left(session: Session, owner: Owner, most: int) -> Left:
    """What belongs to a user."""
    row = session.execute(_LEFT, {"owner_id": owner.user_id, "most": most}).one()
    return Left(row.files, row.trash, row.tombstones, row.sessions)


def files_of(
    session: Session, owner: Owner, after: UUID | None, limit: int, *, deleted: bool | None = None
) -> Sequence[UUID]:
    """Ids of a user's files, or of its session's, after ``after``, in their order. ``deleted``: only such, or only others."""
    statement = _OF_OWNER.format(of_session=_of_session(owner), of_state=_OF_STATE[deleted])
    return session.scalars(text(statement), _bound(owner) | {"after": after or _FIRST, "limit": limit}).all()


def give_files(session: Session, owner: Owner | None, file_ids: Sequence[UUID], to: UUID, now: datetime) -> int:
    """Give those of these files that are an owner's, or in its session, to another user; returns how many there were.

    ``owner`` None: those that belong to nobody.

    They leave their sessions. Their usage follows.
    """
    lock_files(session, file_ids)
    bound = _bound(owner) | {"ids": plain(file_ids), "to": to, "now": now}
    return int(session.execute(text(_GIVE.format(of_session=_of_session(owner))), bound).scalar_one())


def free_tombstones(session: Session, owner: Owner, file_ids: Sequence[UUID]) -> None:
    """Let nobody own those of these deleted files that aren't in the trash, and forget what was said about them."""
    lock_files(session, file_ids)
    session.execute(_FREE, {"ids": plain(file_ids), "owner_id": owner.user_id})


def delete_sessions(session: Session, owner: Owner) -> None:
    """Delete a user's sessions, which are empty."""
    session.execute(text("DELETE FROM sessions WHERE owner_id = CAST(:owner_id AS uuid)"), {"owner_id": owner.user_id})


_OF_STATE = {None: "", True: "AND state = 'deleted'", False: "AND state <> 'deleted'"}


def _of_session(owner: Owner | None) -> str:
    return "" if owner is None or owner.session_id is None else "AND session_id = :session_id"


def _bound(owner: Owner | None) -> dict[str, object]:
    if owner is None:
        return {"owner_id": None}
    return {"owner_id": owner.user_id} | ({} if owner.session_id is None else {"session_id": owner.session_id})
