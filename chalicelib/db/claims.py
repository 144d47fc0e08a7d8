"""Holding files while S3 is at work on their versions: one that is being restored must not be purged at the same time."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, update
from sqlalchemy.orm import Session

from chalicelib.db.locks import lock_files
from chalicelib.db.models import File


def claim_files(
    session: Session, file_ids: Collection[UUID], now: datetime, until: datetime, mine: datetime | None = None
) -> set[UUID]:
    """Hold those of these files that nobody else holds, and say which they are.

    ``mine``: until when a process before this one has claimed them for the same job.
    """
    lock_files(session, file_ids)
    free = or_(File.busy_until.is_(None), File.busy_until <= now, File.busy_until == mine)
    claim = update(File).where(File.id.in_(file_ids), free).values(busy_until=until).returning(File.id)
    return set(session.scalars(claim))


def hold_files(session: Session, file_ids: Collection[UUID], until: datetime | None) -> None:
    """Have nobody touch files until then; None: give them back."""
    if len(file_ids) > 1:  # one row waits for nobody in a circle, and for no key
        lock_files(session, file_ids)
    session.execute(update(File).where(File.id.in_(file_ids)).values(busy_until=until))
