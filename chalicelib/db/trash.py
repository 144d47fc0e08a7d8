"""Files that wait for the clock: to be purged, to be deleted because they expired, or to be freed of a dead restore."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Text, cast, func, or_, select, union_all, update
from sqlalchemy.orm import Session

from chalicelib.db.claims import is_free
from chalicelib.db.jobs import OPEN
from chalicelib.db.models import File, Job, Share
from chalicelib.db.scope import Owner, Scope

# The tombstone at the old key of a moved file is not in the trash: versions there may be the file's history.
_TRASHED = (
    File.state == "deleted",
    File.moved_to.is_(None),
    or_(File.purged_at.is_(None), File.purged_at < File.updated_at),
)


def files_in_trash(session: Session, scope: Scope, until: datetime, after: UUID | None, limit: int) -> Sequence[UUID]:
    """Files that have been in the trash since ``until`` or before, in the order of their ids, after the file ``after``."""
    wanted = [*_TRASHED, File.updated_at <= until]
    if isinstance(scope, Owner):
        wanted.append(File.owner_id == scope.user_id)
        if scope.session_id is not None:
            wanted.append(File.session_id == scope.session_id)
    if after is not None:
        wanted.append(File.id > after)
    return session.scalars(select(File.id).where(*wanted).order_by(File.id).limit(limit)).all()


def old_trash(session: Session, until: datetime, now: datetime, limit: int) -> Sequence[UUID]:
    """Files that have been in the trash since before ``until``, the oldest first.

    Those are left out that somebody has claimed, or that the clock has put off.
    """
    old = select(File.id).where(*_TRASHED, File.updated_at < until, is_free(now), _is_due(now))
    return session.scalars(old.order_by(File.updated_at).limit(limit)).all()


def expired_files(session: Session, now: datetime, limit: int) -> Sequence[UUID]:
    """Files whose time is over (``expires_at``), the longest expired first. Left out are those that `old_trash` leaves out."""
    expired = select(File.id).where(File.expires_at < now, File.state != "deleted", is_free(now), _is_due(now))
    return session.scalars(expired.order_by(File.expires_at).limit(limit)).all()


def dead_restores(session: Session, now: datetime) -> Sequence[UUID]:
    """Files with bytes that are reserved for a restore whose process has died. Their rows are locked."""
    one = select(Job.command["file_id"].astext).where(Job.kind == "restore", Job.state.in_(OPEN))
    many = select(func.jsonb_array_elements_text(Job.command["file_ids"])).where(
        Job.kind == "undelete", Job.state.in_(OPEN)
    )
    dead = select(File.id).where(
        File.restoring.is_not(None), is_free(now), cast(File.id, Text).not_in(union_all(one, many))
    )
    return session.scalars(dead.order_by(File.id).with_for_update(key_share=True, skip_locked=True)).all()


def put_off(session: Session, file_id: UUID, until: datetime) -> None:
    """Leave a file out of `old_trash` and `expired_files` until ``until``. Nobody is kept from it by this."""
    session.execute(update(File).where(File.id == file_id).values(retry_after=until))


def mark_purged(session: Session, file_id: UUID, now: datetime) -> None:
    """Note that S3 holds no version of a deleted file any more. Its links end: they must not lead to what comes to its key."""
    session.execute(update(File).where(File.id == file_id).values(purged_at=now, updated_at=File.updated_at))
    open_shares = update(Share).where(Share.file_id == file_id, Share.revoked_at.is_(None))
    session.execute(open_shares.values(revoked_at=now).execution_options(synchronize_session=False))


def _is_due(now: datetime) -> ColumnElement[bool]:
    return or_(File.retry_after.is_(None), File.retry_after <= now)
