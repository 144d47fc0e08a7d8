"""The trash: deleted files whose versions S3 still holds. Emptying it removes them for good."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Text, cast, or_, select, update
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.objects import Deletion
from chalicelib.catalog.observations import observe_removal
from chalicelib.db.file_history import versions_of
from chalicelib.db.models import File, Job
from chalicelib.db.recording import record_changes
from chalicelib.errors import Conflict, LandfallError, StoreUnavailable
from chalicelib.services import Transaction, in_transaction
from chalicelib.services.claims import claim_files, hold_files, release_files
from chalicelib.services.files import delete_found
from chalicelib.services.jobs import Work
from chalicelib.services.pending import end_restores
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore

_BATCH = 100
_MOST_VERSIONS = 1000
_RETRY = timedelta(hours=1)


def empty_step(work: Work) -> bool:
    """Purge some of the caller's files, or of everyone's, that were in the trash when the job was made."""
    until = datetime.fromisoformat(work.command["until"])
    owner_id = None if work.command["everyones"] else work.principal.user_id
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
        old = select(File.id).where(*_TRASHED, File.updated_at < until, _is_free(now)).order_by(File.updated_at)
        found = session.scalars(old.limit(most)).all()
    return sum(_tried(transaction, file_id, now, lambda one: _purge(transaction, store, one, now)) for file_id in found)


def delete_expired(transaction: Transaction, store: ObjectStore, now: datetime, most: int) -> int:
    """Delete up to ``most`` files that were made for a time only; returns how many there were."""
    with transaction() as session:
        expired = select(File.id).where(File.expires_at < now, File.state != "deleted", _is_free(now))
        found = session.scalars(expired.order_by(File.expires_at).limit(most)).all()
    return sum(
        _tried(transaction, file_id, now, lambda one: delete_found(transaction, store, one, now)) for file_id in found
    )


def forget_restores(transaction: Transaction, now: datetime) -> int:
    """Free what was reserved for restores whose processes have died; returns for how many files."""
    with transaction() as session:
        jobs = select(Job.command["file_id"].astext).where(Job.kind == "restore", Job.state.in_(("queued", "running")))
        dead = select(File.id).where(File.restoring.is_not(None), _is_free(now), cast(File.id, Text).not_in(jobs))
        file_ids = session.scalars(dead.order_by(File.id).with_for_update(key_share=True, skip_locked=True)).all()
        end_restores(session, file_ids)
        return len(file_ids)


# The tombstone at the old key of a moved file is none: versions there may be the file's history.
_TRASHED = (
    File.state == "deleted",
    File.moved_to.is_(None),
    or_(File.purged_at.is_(None), File.purged_at < File.updated_at),
)


def _is_free(now: datetime) -> ColumnElement[bool]:
    return or_(File.busy_until.is_(None), File.busy_until <= now)


def _in_trash(session: Session, owner_id: UUID | None, until: datetime, after: str | None) -> list[UUID]:
    wanted = [*_TRASHED, File.updated_at <= until]
    if owner_id is not None:
        wanted.append(File.owner_id == owner_id)
    if after is not None:
        wanted.append(File.id > UUID(after))
    return list(session.scalars(select(File.id).where(*wanted).order_by(File.id).limit(_BATCH)))


def _tried(transaction: Transaction, file_id: UUID, now: datetime, action: Callable[[UUID], None]) -> bool:
    """Whether it worked; what didn't rests for an hour, so that it keeps no others waiting."""
    try:
        action(file_id)
    except LandfallError:
        with transaction() as session:
            hold_files(session, [file_id], now + _RETRY)
        return False
    return True


def _purge(transaction: Transaction, store: ObjectStore, file_id: UUID, now: datetime) -> None:
    """Remove every version of a deleted file, delete markers last: while one is left, nothing shows."""
    with transaction() as session:
        if not claim_files(session, [file_id], now):
            raise Conflict("The file is being restored at this moment.")
    try:
        while _purge_some(transaction, store, file_id, now):
            pass
    finally:
        with transaction() as session:
            release_files(session, [file_id])


def _purge_some(transaction: Transaction, store: ObjectStore, file_id: UUID, now: datetime) -> bool:
    """Remove up to a thousand versions; False when none is left, or somebody has brought the file back."""
    with transaction() as session:
        file = session.get(File, file_id)
        if file is None or file.state != "deleted":
            return False
        versions = versions_of(session, str(file_id), _MOST_VERSIONS)
        if not versions:
            session.execute(update(File).where(File.id == file_id).values(purged_at=now, updated_at=File.updated_at))
            return False
    removed: list[ObjectChange] = []
    for bucket in {version.bucket for version in versions}:
        here = [version for version in versions if version.bucket == bucket]
        answers = store.delete_many(bucket, [(version.key, version.version_id or "null") for version in here])
        removed += [
            observe_removal(version.bucket, version.key, version.version_id, version.put_rank, answer)
            for version, answer in zip(here, answers, strict=True)
            if isinstance(answer, Deletion)
        ]
    in_transaction(transaction, lambda session: record_changes(session, removed, now))
    if len(removed) < len(versions):
        raise StoreUnavailable("The object store did not remove every version.")
    return True
