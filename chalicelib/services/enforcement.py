"""Policies that can be judged only when the bytes are there: their type, and a size that nobody had announced.

It runs by the clock, over uploads that have come and were inspected, until their links have ended. An object that a policy
refuses is deleted as its owner would delete it, and the file says why. In a versioned bucket S3 still holds it; its owner can't
get at it, as at no version that isn't shown and that a policy refuses: see `pending.check_version`.

An upload whose inspection was given up is judged by what is known, and again once it is inspected after all: its bytes may turn
out to be something else.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Exists, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from chalicelib import telemetry
from chalicelib.catalog.limits import check_file, check_quota
from chalicelib.db.locks import lock_files
from chalicelib.db.models import File, ObjectVersion, Upload, User
from chalicelib.db.models import Session as UploadSession
from chalicelib.errors import AgainstPolicy, LandfallError, OverQuota
from chalicelib.services import Transaction
from chalicelib.services.files import delete_found
from chalicelib.services.pending import Policy, check_quotas, policies_of
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore


def judge_uploads(
    transaction: Transaction, store: ObjectStore, options: Settings, now: datetime, most: int
) -> list[tuple[UUID, str]]:
    """Judge up to ``most`` uploads that have come; returns the ids of the refused ones, with the reasons.

    The reason is committed first: whoever asks meanwhile is told, and a deletion that fails is tried again by the next run.
    """
    refused: list[tuple[UUID, str]] = []
    with transaction() as session:
        _pass_harmless(session, options)
        due = _due(session, most)
    for file_id in due:
        with transaction() as session:
            reason, rank = _judge(session, options, file_id)
        try:
            if reason:
                delete_found(transaction, store, file_id, now, rank)
                refused.append((file_id, reason))
        except LandfallError as error:
            telemetry.log("warning", "a refused upload could not be deleted yet", file_id=file_id, error=error)
    return refused


def _pass_harmless(session: Session, options: Settings) -> None:
    """Mark as judged the uploads that no policy can refuse: size and type are as announced, and the bytes are of that type.

    The quota was checked when the size was announced. A missing type is harmless only while nobody limits types.
    """
    restricted = bool(options.media_types) or any(
        session.scalar(select(select(who.id).where(who.limits.has_key("media_types")).exists()))
        for who in (User, UploadSession)
    )
    as_announced = Upload.media_type == File.media_type
    harmless = (
        select(Upload.file_id, File.rank)
        .join(File, File.id == Upload.file_id)
        .where(File.state == "stored", _is_unjudged())
        .where(~_awaits_inspection(), ~was_not_inspected())
        .where(File.is_mismatch.is_(False), Upload.size == File.size)
        .where(as_announced if restricted else or_(as_announced, Upload.media_type.is_(None)))
        .with_for_update(of=Upload, skip_locked=True)  # others will do those that they hold
        .cte("harmless")
    )
    judged = update(Upload).where(Upload.file_id == harmless.c.file_id).values(judged_rank=harmless.c.rank)
    session.execute(judged.execution_options(synchronize_session=False))


def _due(session: Session, most: int) -> Sequence[UUID]:
    """Uploads to judge. One of each owner comes first, then a second one of each, and so on, so that nobody's uploads hold up
    another's. One owner's come in random order, so that those that can't be deleted hold up no others; uninspected ones last."""
    due = select(Upload.file_id).join(File, File.id == Upload.file_id)
    due = due.where(_is_unjudged(), File.state == "stored", ~_awaits_inspection())
    turn = func.row_number().over(partition_by=File.owner_id, order_by=func.random())
    return session.scalars(due.order_by(was_not_inspected(), turn).limit(most)).all()


def _is_unjudged() -> ColumnElement[bool]:
    """A link may be used again until it ends: what comes then is another object, to be judged for itself."""
    return Upload.judged_rank.is_distinct_from(File.rank)


def _awaits_inspection() -> Exists:
    return _current_version(ObjectVersion.inspect_after.is_not(None))


def was_not_inspected() -> Exists:
    """Whether the inspection of a file's current version failed, the last time it was tried."""
    return _current_version(ObjectVersion.inspect_problem.is_not(None))


def _current_version(condition: ColumnElement[bool]) -> Exists:
    this = (
        ObjectVersion.bucket == File.bucket,
        ObjectVersion.key == File.key,
        ObjectVersion.version_id == File.version_id,
    )
    return select(ObjectVersion.key).where(*this, condition).exists()


def _judge(session: Session, options: Settings, file_id: UUID) -> tuple[str | None, str]:
    """Why the file is refused, noted for its owner to read, or None if it isn't; and the rank of what was judged."""
    lock_files(session, [file_id])  # so that nothing else comes to its key meanwhile
    file, upload = session.get(File, file_id), session.get(Upload, file_id)
    if file is None or upload is None or file.state != "stored" or file.owner_id is None:
        return None, ""
    policies = policies_of(session, options, file.owner_id, file.session_id)
    reason = _unfit(file, policies) or _too_much(session, file, upload, policies)
    if reason is None:
        upload.judged_rank = file.rank
    else:
        upload.problem = reason
    session.flush()
    return reason, file.rank


def _unfit(file: File, policies: Sequence[Policy]) -> str | None:
    """Why the file may never be there, whatever else is."""
    if file.is_mismatch and any(policy.limits.refuse_mismatch for policy in policies):
        return f"It was declared to be {file.media_type}, but its bytes are {file.detected_media_type}."
    try:
        check_file([(policy.whose, policy.limits) for policy in policies], file.size, file.media_type)
    except AgainstPolicy as error:
        return str(error)
    return None


def _too_much(session: Session, file: File, upload: Upload, policies: Sequence[Policy]) -> str | None:
    """Why there is no room for the file. It may be restored when there is."""
    try:
        if upload.size != file.size:
            _check_with_older(session, file, policies)
    except OverQuota as error:
        return str(error)
    return None


def _check_with_older(session: Session, file: File, policies: Sequence[Policy]) -> None:
    """Refuse a file that exceeds a quota together with the older ones.

    Together with all of them, of two files that came at the same time each could be refused on account of the other.

    Raises:
        OverQuota: it does.
    """
    assert file.owner_id is not None
    try:
        check_quotas(session, policies, file.owner_id)
    except OverQuota:
        for policy in policies:
            # By the time of arrival: an old upload that was given up, and came after all, pushes nobody out.
            arrived = tuple_(File.stored_at, File.id) <= tuple_(file.stored_at, file.id)
            older = [File.owner_id == file.owner_id, arrived, File.state == "stored"]
            if policy.session_id:
                older.append(File.session_id == policy.session_id)
            count, size = session.execute(
                select(func.count(), func.coalesce(func.sum(File.size), 0)).where(*older)
            ).one()
            check_quota(policy.whose, policy.limits, count, int(size or 0))
