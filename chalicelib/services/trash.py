"""The trash: deleted files whose versions S3 still holds. Emptying it removes them for good."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import Kind, ObjectChange, rank_of_removal
from chalicelib.db.file_history import versions_there
from chalicelib.db.models import File
from chalicelib.db.recording import record_changes
from chalicelib.errors import LandfallError, StoreUnavailable
from chalicelib.services import Transaction
from chalicelib.services.files import delete_found
from chalicelib.services.jobs import Work
from chalicelib.settings import Settings
from chalicelib.store.client import Deletion, ObjectStore

_BATCH = 100
_MOST_VERSIONS = 1000


def empty_step(work: Work) -> bool:
    """Purge some of the caller's files that were in the trash when the job was made."""
    until = datetime.fromisoformat(work.command["until"])
    owner_id = None if work.principal.is_operator else work.principal.user_id
    with work.transaction() as session:
        found = _in_trash(session, owner_id, until, work.progress.get("after"))
    for file_id in found:
        try:
            _purge(work.transaction, work.store, file_id, work.clock())
            work.progress["done"] = work.progress.get("done", 0) + 1
        except LandfallError as error:
            work.note_failure(str(file_id), error)
        work.progress["after"] = str(file_id)
        work.save()
    return len(found) < _BATCH


def purge_old(transaction: Transaction, store: ObjectStore, options: Settings, now: datetime, most: int) -> int:
    """Purge up to ``most`` files that have been in the trash for `LANDFALL_TRASH_DAYS`; returns how many there were."""
    if not options.trash_days:
        return 0
    with transaction() as session:
        until = now - timedelta(days=options.trash_days)
        old = select(File.id).where(*_TRASHED, File.updated_at < until).order_by(File.updated_at)
        found = session.scalars(old.limit(most)).all()
    return sum(_purged(transaction, store, file_id, now) for file_id in found)


def delete_expired(transaction: Transaction, store: ObjectStore, now: datetime, most: int) -> int:
    """Delete up to ``most`` files that were made for a time only; returns how many there were."""
    with transaction() as session:
        expired = select(File.id).where(File.expires_at < now, File.state != "deleted")
        found = session.scalars(expired.order_by(File.expires_at).limit(most)).all()
    for file_id in found:
        delete_found(transaction, store, file_id, now)
    return len(found)


_TRASHED = File.state == "deleted", or_(File.purged_at.is_(None), File.purged_at < File.updated_at)


def _in_trash(session: Session, owner_id: UUID | None, until: datetime, after: str | None) -> list[UUID]:
    wanted = [*_TRASHED, File.updated_at <= until]
    if owner_id is not None:
        wanted.append(File.owner_id == owner_id)
    if after is not None:
        wanted.append(File.id > UUID(after))
    return list(session.scalars(select(File.id).where(*wanted).order_by(File.id).limit(_BATCH)))


def _purged(transaction: Transaction, store: ObjectStore, file_id: UUID, now: datetime) -> bool:
    try:
        _purge(transaction, store, file_id, now)
    except LandfallError:
        return False
    return True


def _purge(transaction: Transaction, store: ObjectStore, file_id: UUID, now: datetime) -> None:
    """Remove every version of a deleted file, delete markers last: while one is left, nothing shows."""
    while True:
        with transaction() as session:
            file = session.get(File, file_id, with_for_update=True)
            if file is None or file.state != "deleted":
                return  # somebody has brought it back
            versions = versions_there(session, file.bucket, file.key, _MOST_VERSIONS)
            if not versions:
                session.execute(
                    update(File).where(File.id == file_id).values(purged_at=now, updated_at=File.updated_at)
                )
                return
        answers = store.delete_many(file.bucket, [(file.key, version.version_id or "null") for version in versions])
        removed = [
            ObjectChange(
                kind=Kind.REMOVAL,
                bucket=file.bucket,
                key=file.key,
                version_id=version.version_id,
                rank=rank_of_removal(version.version_id, version.put_rank),
                event_name="DeleteObject",
                event_time=answer.at,
                is_observation=True,
            )
            for version, answer in zip(versions, answers, strict=True)
            if isinstance(answer, Deletion)
        ]
        with transaction() as session:
            record_changes(session, removed, now)
        if len(removed) < len(versions):
            raise StoreUnavailable("The object store did not remove every version.")
