"""Policies that can be judged only when the bytes are there: their type, and a size that nobody had announced.

It runs by the clock, over uploads that have come and were inspected. An object that a policy refuses is deleted as its owner
would delete it, so in a versioned bucket it can still be brought back; the file says why.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Exists, func, select, update
from sqlalchemy.orm import Session

from chalicelib.catalog.limits import check_file, check_quota
from chalicelib.db.models import File, ObjectVersion, Upload
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
        _pass_harmless(session, now)
        due = _due(session, most)
    for file_id in due:
        with transaction() as session:
            reason = _judge(session, options, file_id)
        try:
            if reason:
                delete_found(transaction, store, file_id, now)
                refused.append((file_id, reason))
        except LandfallError:
            continue
        with transaction() as session:
            session.execute(update(Upload).where(Upload.file_id == file_id).values(judged_at=now))
    return refused


def _pass_harmless(session: Session, now: datetime) -> None:
    """Of a file that is what it was declared to be, and whose size was announced, nothing is left to judge."""
    harmless = select(File.id).where(
        File.id == Upload.file_id, File.state == "stored", File.is_mismatch.is_(False), ~_awaits_inspection()
    )
    passed = update(Upload).where(Upload.judged_at.is_(None), Upload.size.is_not(None), harmless.exists())
    session.execute(passed.values(judged_at=now).execution_options(synchronize_session=False))


def _due(session: Session, most: int) -> Sequence[UUID]:
    """The oldest first, so that of files that exceed a quota the later ones go."""
    due = select(Upload.file_id).join(File, File.id == Upload.file_id)
    due = due.where(Upload.judged_at.is_(None), File.state == "stored", ~_awaits_inspection())
    return session.scalars(due.order_by(Upload.file_id).limit(most)).all()


def _awaits_inspection() -> Exists:
    return (
        select(ObjectVersion.key)
        .where(
            ObjectVersion.bucket == File.bucket,
            ObjectVersion.key == File.key,
            ObjectVersion.version_id == File.version_id,
            ObjectVersion.inspect_after.is_not(None),
        )
        .exists()
    )


def _judge(session: Session, options: Settings, file_id: UUID) -> str | None:
    """Why the file is refused, noted for its owner to read; None if it isn't."""
    file, upload = session.get(File, file_id), session.get(Upload, file_id)
    if file is None or upload is None or file.state != "stored" or file.owner_id is None:
        return None
    policies = policies_of(session, options, file.owner_id, file.session_id)
    reason = _refusal(session, file, upload, policies)
    if reason is not None:
        upload.problem = reason
        session.flush()
    return reason


def _refusal(session: Session, file: File, upload: Upload, policies: Sequence[Policy]) -> str | None:
    if file.is_mismatch and any(policy.limits.refuse_mismatch for policy in policies):
        return f"It was declared to be {file.media_type}, but its bytes are {file.detected_media_type}."
    if upload.size is not None:
        return None
    try:
        check_file([(policy.whose, policy.limits) for policy in policies], file.size, file.media_type)
        _check_with_older(session, file, policies)
    except (AgainstPolicy, OverQuota) as error:
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
            older = [File.owner_id == file.owner_id, File.id <= file.id, File.state == "stored"]
            if policy.session_id:
                older.append(File.session_id == policy.session_id)
            count, size = session.execute(
                select(func.count(), func.coalesce(func.sum(File.size), 0)).where(*older)
            ).one()
            check_quota(policy.whose, policy.limits, count, int(size or 0))
