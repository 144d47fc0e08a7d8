"""Uploads that wait for the clock: to be judged, measured, or given up."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Exists, and_, delete, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from chalicelib.db.claims import is_free
from chalicelib.db.models import File, ObjectVersion, Upload, User
from chalicelib.db.models import Session as UploadSession


def pass_harmless(session: Session, *, types_are_limited: bool) -> None:
    """Mark as judged the uploads that no policy can refuse: size and type are as announced, and the bytes are of that type.

    The quota was checked when the size was announced. An upload without a type is harmless only while no policy limits
    types. ``types_are_limited`` says whether the deployment's own policy does.
    """
    restricted = types_are_limited or any(
        session.scalar(select(select(who.id).where(who.limits.has_key("media_types")).exists()))
        for who in (User, UploadSession)
    )
    as_announced = Upload.media_type == File.media_type
    harmless = (
        select(Upload.file_id, File.rank)
        .join(File, File.id == Upload.file_id)
        .where(File.state == "stored", _is_unjudged())
        .where(~_awaits_inspection(), ~_was_not_inspected())
        .where(File.is_mismatch.is_(False), Upload.size == File.size)
        .where(as_announced if restricted else or_(as_announced, Upload.media_type.is_(None)))
        .with_for_update(of=Upload, skip_locked=True)  # a locked row is left to the transaction that holds it
        .cte("harmless")
    )
    judged = update(Upload).where(Upload.file_id == harmless.c.file_id).values(judged_rank=harmless.c.rank)
    session.execute(judged.execution_options(synchronize_session=False))


def uploads_to_judge(session: Session, limit: int) -> Sequence[UUID]:
    """Uploads to judge: one of each owner first, then a second one of each, and so on.

    So no owner's uploads hold up those of another. The uploads of one owner come in random order, so that those that
    can't be deleted don't hold up the rest. Uploads whose inspection failed come last.
    """
    due = select(Upload.file_id).join(File, File.id == Upload.file_id)
    due = due.where(_is_unjudged(), File.state == "stored", ~_awaits_inspection())
    return session.scalars(due.order_by(_was_not_inspected(), _turn()).limit(limit)).all()


def sum_older(session: Session, file_id: UUID, session_id: str) -> tuple[int, int]:
    """Count and bytes of a stored file and its owner's older files; ``session_id``, unless empty, names the only session.

    Older files are those that were stored before. So an old upload that was given up, and whose bytes came after all,
    doesn't push out files that came before them.
    """
    this = select(File.owner_id, File.stored_at, File.id).where(File.id == file_id).subquery()
    older = [
        File.owner_id == this.c.owner_id,
        tuple_(File.stored_at, File.id) <= tuple_(this.c.stored_at, this.c.id),
        File.state == "stored",
    ]
    if session_id:
        older.append(File.session_id == session_id)
    count, size = session.execute(select(func.count(), func.coalesce(func.sum(File.size), 0)).where(*older)).one()
    return count, int(size or 0)


def uploads_to_measure(session: Session, stored_after: datetime, now: datetime, limit: int) -> Sequence[UUID]:
    """Multipart uploads whose parts may be larger than was announced, each owner's in turn; none of a file that is claimed.

    A client that proposed a key may have begun several multipart uploads for one file, and its links to them outlast
    the completion of one. So its uploads are included until long after the file was stored: if it was stored after
    ``stored_after``.
    """
    unbounded = or_(Upload.size.is_(None), Upload.client_key.is_not(None))
    open_or_new = or_(
        and_(Upload.closed_at.is_(None), File.state == "pending"),
        and_(Upload.client_key.is_not(None), File.state == "stored", File.stored_at > stored_after),
    )
    due = select(Upload.file_id).join(File, File.id == Upload.file_id)
    due = due.where(Upload.method == "multipart", unbounded, open_or_new, is_free(now))
    return session.scalars(due.order_by(_turn()).limit(limit)).all()


def overdue_uploads(session: Session, now: datetime, limit: int) -> Sequence[UUID]:
    """Open uploads whose time is up: each owner's in turn, the oldest first."""
    due = select(Upload.file_id).where(Upload.expires_at < now, Upload.closed_at.is_(None))
    turn = func.row_number().over(partition_by=Upload.owner_id, order_by=Upload.expires_at)
    return session.scalars(due.order_by(turn, Upload.expires_at).limit(limit)).all()


def forget_stored(session: Session, now: datetime) -> None:
    """Delete expired uploads whose bytes have come and were judged, whether or not a client has called `complete`."""
    judged = (
        File.id == Upload.file_id,
        File.state == "stored",
        File.rank == Upload.judged_rank,
        ~_was_not_inspected(),  # else it will be judged once more
    )
    stored = select(File.id).where(*judged).exists()
    # A locked row is left to the transaction that holds it.
    free = select(Upload.file_id).where(Upload.expires_at < now, stored).with_for_update(skip_locked=True)
    session.execute(delete(Upload).where(Upload.file_id.in_(free)).execution_options(synchronize_session=False))


def _turn() -> ColumnElement[int]:
    return func.row_number().over(partition_by=File.owner_id, order_by=func.random())


def _is_unjudged() -> ColumnElement[bool]:
    """Whether the current object wasn't judged yet. A link may be used again until it ends, and then brings another object."""
    return Upload.judged_rank.is_distinct_from(File.rank)


def _awaits_inspection() -> Exists:
    return _current_version(ObjectVersion.inspect_after.is_not(None))


def _was_not_inspected() -> Exists:
    """Whether the inspection of a file's current version failed, the last time it was tried."""
    return _current_version(ObjectVersion.inspect_problem.is_not(None))


def _current_version(condition: ColumnElement[bool]) -> Exists:
    this = (
        ObjectVersion.bucket == File.bucket,
        ObjectVersion.key == File.key,
        ObjectVersion.version_id == File.version_id,
    )
    return select(ObjectVersion.key).where(*this, condition).exists()
