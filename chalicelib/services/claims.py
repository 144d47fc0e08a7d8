"""Holding files while S3 is at work on their versions: who restores one and who removes it for good must not do so at once."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import or_, update
from sqlalchemy.orm import Session

from chalicelib.db.locks import lock_files
from chalicelib.db.models import File

# How long a claim lasts whose process died: longer than the function with the most time runs (`work`, 10 minutes).
CLAIM = timedelta(minutes=11)


def claim_files(session: Session, file_ids: Iterable[UUID], now: datetime, mine: datetime | None = None) -> set[UUID]:
    """Those of these files that nobody else holds; they are the caller's until `release_files`, or for `CLAIM`.

    ``mine``: until when a process before this one has claimed them, for the same job.
    """
    file_ids = list(file_ids)
    lock_files(session, file_ids)
    free = or_(File.busy_until.is_(None), File.busy_until <= now, File.busy_until == mine)
    claim = update(File).where(File.id.in_(file_ids), free).values(busy_until=now + CLAIM).returning(File.id)
    return set(session.scalars(claim))


def release_files(session: Session, file_ids: Iterable[UUID]) -> None:
    """Give files back."""
    _hold(session, list(file_ids), None)


def hold_files(session: Session, file_ids: Iterable[UUID], until: datetime) -> None:
    """Have nobody touch files until then: what failed a moment ago is tried again later, and keeps no others waiting."""
    _hold(session, list(file_ids), until)


def _hold(session: Session, file_ids: list[UUID], until: datetime | None) -> None:
    if len(file_ids) > 1:  # one row waits for nobody in a circle, and for no key
        lock_files(session, file_ids)
    session.execute(update(File).where(File.id.in_(file_ids)).values(busy_until=until))
