"""Holding files while S3 is at work on their versions: who restores one and who removes it for good must not do so at once."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import or_, update
from sqlalchemy.orm import Session

from chalicelib.db.locks import lock_files
from chalicelib.db.models import File

# Longer than any Lambda of ours works on one file; a claim whose process died ends by itself.
_LEASE = timedelta(minutes=5)


def claim_files(session: Session, file_ids: Iterable[UUID], now: datetime) -> set[UUID]:
    """Those of these files that nobody else holds; they are the caller's until `release_files`, or for five minutes."""
    file_ids = list(file_ids)
    lock_files(session, file_ids)
    free = File.id.in_(file_ids), or_(File.busy_until.is_(None), File.busy_until <= now)
    claim = update(File).where(*free).values(busy_until=now + _LEASE).returning(File.id)
    return set(session.scalars(claim))


def release_files(session: Session, file_ids: Iterable[UUID]) -> None:
    """Give files back."""
    hold_files(session, file_ids, None)


def hold_files(session: Session, file_ids: Iterable[UUID], until: datetime | None) -> None:
    """Have nobody touch files until then: what failed a moment ago is tried again later, and keeps no others waiting."""
    file_ids = list(file_ids)
    lock_files(session, file_ids)
    session.execute(update(File).where(File.id.in_(file_ids)).values(busy_until=until))
