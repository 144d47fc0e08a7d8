"""Requests that wait at this moment: each holds a function, so only so many may."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

# Who comes at the same time is counted one after the other: without the lock, each would miss the others' rows. It is let go
# with the transaction, at once.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('landfall waits', 0))")
# A process that died while it waited has left a row, which counts until its time is over.
_TAKE = text("""
WITH gone AS (DELETE FROM waits WHERE until < now())
INSERT INTO waits (id, user_id, until)
SELECT CAST(:id AS uuid), CAST(:user_id AS uuid), now() + make_interval(secs => CAST(:seconds AS float8))
WHERE (SELECT count(*) FROM waits WHERE until >= now()) < :in_all
    AND (SELECT count(*) FROM waits WHERE until >= now() AND user_id = CAST(:user_id AS uuid)) < :of_user
RETURNING id
""")
_FREE = text("DELETE FROM waits WHERE id = CAST(:id AS uuid)")


def take_place(session: Session, place: UUID, user_id: UUID, seconds: float, of_user: int, in_all: int) -> bool:
    """Let one more request of a user wait, for up to ``seconds``; False if so many of the user's, or in all, wait already."""
    session.execute(_LOCK)
    values = {"id": place, "user_id": user_id, "seconds": seconds, "of_user": of_user, "in_all": in_all}
    return session.execute(_TAKE, values).one_or_none() is not None


def free_place(session: Session, place: UUID) -> None:
    """Let another request wait in this one's place."""
    session.execute(_FREE, {"id": place})
