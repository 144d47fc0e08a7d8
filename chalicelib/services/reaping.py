"""Uploads that nobody finished: asked for at S3 once more, then given up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from chalicelib.db.file_queries import find_file
from chalicelib.db.models import File, Upload
from chalicelib.errors import LandfallError, NotFound
from chalicelib.services import Transaction
from chalicelib.services.arrivals import record_if_there
from chalicelib.services.enforcement import was_not_inspected
from chalicelib.services.pending import abort_parts, close_uploads
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore

_RETRY = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Reaped:
    """How many uploads were given up, found at S3 after all, are still going on, or couldn't be judged."""

    abandoned: int = 0
    found: int = 0
    going_on: int = 0
    failed: int = 0


def reap_uploads(transaction: Transaction, store: ObjectStore, options: Settings, now: datetime, most: int) -> Reaped:
    """Judge up to ``most`` uploads whose time is up, the oldest first.

    A multipart upload that got a part since its time began anew is given as much time again. Otherwise its parts are thrown
    away, and only then S3 is asked for the object: whoever completes it in that moment is either seen, or too late.
    """
    outcomes = {"abandoned": 0, "found": 0, "going_on": 0, "failed": 0}
    for file_id in _due(transaction, now, most):
        try:
            outcomes[_judge(transaction, store, options, file_id, now)] += 1
        except LandfallError:
            outcomes["failed"] += 1
            _extend(transaction, file_id, now + _RETRY)  # others first
    return Reaped(**outcomes)


def _due(transaction: Transaction, now: datetime, most: int) -> Sequence[UUID]:
    with transaction() as session:
        _forget_stored(session, now)
        due = select(Upload.file_id).where(Upload.expires_at < now, Upload.closed_at.is_(None))
        return session.scalars(due.order_by(Upload.expires_at).limit(most)).all()


def _forget_stored(session: Session, now: datetime) -> None:
    """Their bytes have come, whether or not anybody called `complete`, and were judged."""
    judged = (
        File.id == Upload.file_id,
        File.state == "stored",
        File.rank == Upload.judged_rank,
        ~was_not_inspected(),  # else it will be judged once more
    )
    stored = select(File.id).where(*judged).exists()
    # Others will forget those that they hold.
    free = select(Upload.file_id).where(Upload.expires_at < now, stored).with_for_update(skip_locked=True)
    session.execute(delete(Upload).where(Upload.file_id.in_(free)).execution_options(synchronize_session=False))


def _judge(transaction: Transaction, store: ObjectStore, options: Settings, file_id: UUID, now: datetime) -> str:
    with transaction() as session:
        file, upload = find_file(session, file_id, None), session.get(Upload, file_id)
    if file is None or upload is None:
        return "abandoned"
    if file["state"] == "stored":  # its event came; it is kept to be judged
        with transaction() as session:
            close_uploads(session, [file_id], now)
        return "found"
    bucket, key = file["bucket"], file["key"]
    if upload.multipart_id:
        try:
            parts = store.multipart.list_parts(bucket, key, upload.multipart_id)
            latest = max((part.stored_at for part in parts if part.stored_at), default=upload.created_at)
            if latest + timedelta(seconds=options.upload_seconds) > now:
                _extend(transaction, file_id, latest + timedelta(seconds=options.upload_seconds))
                return "going_on"
        except NotFound:
            pass
    abort_parts(store, file)
    if file["state"] == "pending" and record_if_there(transaction, store, file, now):
        return "found"
    problem = upload.problem or "No bytes came."
    give_up(transaction, file_id, f"The upload was abandoned at {upload.expires_at.isoformat()}: {problem}", now)
    return "abandoned"


def _extend(transaction: Transaction, file_id: UUID, expires_at: datetime) -> None:
    with transaction() as session:
        session.execute(update(Upload).where(Upload.file_id == file_id).values(expires_at=expires_at))


def give_up(transaction: Transaction, file_id: UUID, problem: str, now: datetime) -> None:
    """Make a pending file a tombstone that says why. An event that comes after all stores it under the same id."""
    with transaction() as session:
        pending = update(File).where(File.id == file_id, File.state == "pending")
        session.execute(pending.values(state="deleted", updated_at=now))
        closed = update(Upload).where(Upload.file_id == file_id)
        session.execute(closed.values(closed_at=now, size=None, problem=problem))
