"""Claims on files while S3 works on their versions: a file that is being restored must not be purged at the same time."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from chalicelib.db.locks import lock_files
from chalicelib.db.models import File


def claim_files(
    session: Session, file_ids: Collection[UUID], now: datetime, until: datetime, mine: datetime | None = None
) -> set[UUID]:
    """Claim those of these files that nobody else has claimed; returns which they are.

    ``mine``: when the claim ends that an earlier process has made for the same job.
    """
    lock_files(session, file_ids)
    claim = (
        update(File)
        .where(File.id.in_(file_ids), or_(is_free(now), File.busy_until == mine))
        .values(busy_until=until)
        .returning(File.id)
    )
    return set(session.scalars(claim))


def is_free(now: datetime) -> ColumnElement[bool]:
    """The condition that nobody has claimed a file."""
    return or_(File.busy_until.is_(None), File.busy_until <= now)


def is_claimed(session: Session, file_id: UUID, now: datetime) -> bool:
    """Whether somebody has claimed this file: S3 may be copying an older version over it, in an upload to its key."""
    return bool(session.scalar(select(File.busy_until > now).where(File.id == file_id)))


def release_files(session: Session, file_ids: Collection[UUID]) -> None:
    """Release claimed files."""
    if len(file_ids) > 1:  # with one row alone, no circle of waiting can come about
        lock_files(session, file_ids)
    session.execute(update(File).where(File.id.in_(file_ids)).values(busy_until=None))
