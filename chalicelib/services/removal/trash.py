"""The trash: deleted files whose versions S3 still holds. Purging one removes them permanently."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.files import File
from chalicelib.catalog.objects import Deletion, Location, ObjectVersion
from chalicelib.catalog.observations import observe_removal
from chalicelib.db import files, trash
from chalicelib.db.history import versions_of
from chalicelib.db.locks import lock_files
from chalicelib.db.recording import record_changes
from chalicelib.db.scope import EVERYONE
from chalicelib.errors import Conflict, LandfallError, Locked, NotFound, StoreUnavailable
from chalicelib.services.accounts.policies import end_restores
from chalicelib.services.accounts.trail import note
from chalicelib.services.context import Context, Transaction
from chalicelib.services.files.claims import CLAIM, claim_files, release_files
from chalicelib.services.removal.deletion import delete_found
from chalicelib.services.removal.null_versions import require_unreplaced
from chalicelib.services.truth.healing import heal

_MAX_VERSIONS = 1000
_RETRY = timedelta(hours=1)
_DENIED = "AccessDenied"  # what S3 says of a locked version, too


@dataclass(frozen=True, slots=True)
class Purging:
    """How a job notes its purge of a file.

    Attributes:
        mine: when the claim ends that an earlier process has made for the same job.
        keep_claim: notes when the claim of this process ends, in the transaction that makes it.
        on_batch: called after each thousand versions: to tell that the work goes on, or to end it by raising.
    """

    mine: datetime | None = None
    keep_claim: Callable[[Transaction, datetime], None] = lambda tx, until: None
    on_batch: Callable[[], None] = lambda: None


def purge(ctx: Context, file_id: UUID, until: datetime | None = None, purging: Purging = Purging()) -> None:
    """Remove every version of a deleted file. Delete markers come last: as long as one is left, no object shows.

    ``until``: nothing is done if the file was deleted later, as again since it was found.

    Raises:
        Conflict: the file is being restored, or another client has restored it, or has put an object in place of a version
            without an id. Locked: Object Lock keeps a version.
        StoreUnavailable: S3 did not remove every version.
    """
    with ctx.transaction() as tx:
        if not claim_files(tx, [file_id], purging.mine):
            raise Conflict("The file is being restored at this moment.")
        file = files.find_file(tx.session, EVERYONE, file_id)
        if until is not None and file is not None and file.updated_at > until:
            release_files(tx, [file_id])
            return
        purging.keep_claim(tx, tx.now + CLAIM)
        note(tx, "purge", [file_id])
    try:
        before: list[ObjectVersion] = []
        while found := _purge_some(ctx, file_id):
            if found == before:
                raise StoreUnavailable("S3 has removed versions that are still known.")
            before = found
            purging.on_batch()
    finally:
        with ctx.transaction() as tx:
            release_files(tx, [file_id])


def purge_old(ctx: Context, limit: int) -> int:
    """Purge up to ``limit`` files that have been in the trash for `LANDFALL_TRASH_DAYS`; returns how many there were.

    With `LANDFALL_LOCK_DAYS`, not before the locks are over, which began no later.
    """
    if not ctx.settings.trash_days:
        return 0
    with ctx.transaction() as tx:
        until = tx.now - timedelta(days=max(tx.settings.trash_days, tx.settings.lock_days))
        found = trash.old_trash(tx.session, until, tx.now, limit)
    return _count_done(ctx, found, partial(purge, until=until))


def delete_expired(ctx: Context, limit: int) -> int:
    """Delete up to ``limit`` files that have expired; returns how many there were."""
    with ctx.transaction() as tx:
        found = trash.expired_files(tx.session, tx.now, limit)
    return _count_done(ctx, found, delete_found)


def forget_restores(ctx: Context) -> int:
    """Free what was reserved for restores whose processes have died; returns for how many files."""
    with ctx.transaction() as tx:
        file_ids = trash.dead_restores(tx.session, tx.now)
        end_restores(tx, file_ids)
        return len(file_ids)


def _count_done(ctx: Context, file_ids: Sequence[UUID], action: Callable[[Context, UUID], None]) -> int:
    """Do ``action`` with each file, as long as there is time; returns for how many it worked.

    The clock tries a file for which it failed again after an hour, so that it doesn't keep others waiting. Whoever restores the
    file meanwhile, or purges it, may.
    """
    done = 0
    for file_id in ctx.for_a_while(file_ids):
        try:
            action(ctx, file_id)
            done += 1
        except LandfallError:
            with ctx.transaction() as tx:
                trash.put_off(tx.session, file_id, tx.now + _RETRY)
    return done


def _to_purge(tx: Transaction, file: File) -> list[ObjectVersion]:
    """Up to a thousand versions of a deleted file."""
    with tx.as_landfall():  # what others have left at the file's key must stay, and stay hidden
        return versions_of(tx.session, EVERYONE, file.id, _MAX_VERSIONS)


def _deleted(tx: Transaction, file_id: UUID) -> File | None:
    """A file, unless it was restored, or is gone."""
    file = files.find_file(tx.session, EVERYONE, file_id)
    return file if file is not None and file.state == "deleted" else None


def _purge_some(ctx: Context, file_id: UUID) -> list[ObjectVersion]:
    """Remove up to a thousand versions; returns which. None is left, or the file was restored, if there are none."""
    with ctx.transaction() as tx:
        file = _deleted(tx, file_id)
        found = [] if file is None else _to_purge(tx, file)
        if file is not None and not found:
            # Nobody records anything of the key from here on: it would be lost, or take its file's links with it.
            with tx.as_landfall():
                lock_files(tx.session, [file_id])
            file = _deleted(tx, file_id)
            found = [] if file is None else _to_purge(tx, file)
        if file is None:
            return []
        if not found:
            trash.mark_purged(tx.session, file_id, tx.now)
            return []
    _require_unreplaced(ctx, found)
    _require_hidden(ctx, file.location, found)
    # Not in one request with the objects: an object that S3 doesn't remove would come to light without its marker.
    versions = [version for version in found if not version.is_marker] or found
    removed, denied = _remove(ctx, versions)
    ctx.in_transaction(lambda tx: record_changes(tx.session, removed, tx.now))
    if denied:
        _require_unlocked(ctx, denied)
    if len(removed) < len(versions):
        raise StoreUnavailable("The object store did not remove every version.")
    return found


def _require_hidden(ctx: Context, own: Location, versions: Sequence[ObjectVersion]) -> None:
    """Check that S3 shows no object that is to be removed, nor any at the file's ``own`` key; otherwise the catalogue is healed.

    Another client may have removed the delete marker, or put an object again, and no event has told of it yet. Who does so
    between the answer and the removal loses it: S3 knows no condition for versions.

    Raises:
        Conflict: it does, so the file is back. Nothing is to be removed.
    """
    removed = {(version.bucket, version.key, version.version_id) for version in versions if not version.is_marker}
    for location in {Location(bucket, key) for bucket, key, _ in removed}:
        with suppress(NotFound):
            shown = ctx.store.head(*location)
            if location == own or (*location, shown.version_id) in removed:
                heal(ctx, [location])
                raise Conflict("Another client has brought the file's object back, so nothing was removed.")


def _require_unreplaced(ctx: Context, versions: Sequence[ObjectVersion]) -> None:
    """Check that what has no version id is still what is known of it; otherwise the catalogue is healed.

    Raises:
        Conflict: it isn't, so the file may be back. Nothing is to be removed.
    """
    for version in versions:
        if not version.version_id:
            location = Location(version.bucket, version.key)
            try:
                require_unreplaced(ctx, location, None if version.is_marker else version.etag or "")
            except Conflict:
                heal(ctx, [location])
                raise


def _require_unlocked(ctx: Context, versions: Sequence[ObjectVersion]) -> None:
    """Look why S3 denies to remove these versions.

    Raises:
        Locked: some of them are; the message says how many, and until when.
    """
    heads = []
    for version in versions:
        with suppress(NotFound):  # removed meanwhile
            heads.append(ctx.store.head(version.bucket, version.key, version.version_id or "null"))
    until = [head.locked_until for head in heads if head.locked_until is not None and head.locked_until > ctx.now]
    held = [head for head in heads if head.is_held]
    if held:
        raise Locked(f"A legal hold keeps {len(held)} of the file's versions. What is not kept was removed.")
    if until:
        last = max(until).isoformat()
        raise Locked(
            f"Object Lock keeps {len(until)} of the file's versions, the last one until {last}. What is not kept was removed."
        )


def _remove(ctx: Context, versions: Sequence[ObjectVersion]) -> tuple[list[ObjectChange], list[ObjectVersion]]:
    """Have S3 remove versions; returns the removals that it confirmed, and the versions that it denies to remove."""
    removed: list[ObjectChange] = []
    denied: list[ObjectVersion] = []
    for bucket in {version.bucket for version in versions}:
        here = [version for version in versions if version.bucket == bucket]
        answers = ctx.store.deleter.delete_many(
            bucket, [(version.key, version.version_id or "null") for version in here]
        )
        removed += [
            observe_removal(version.bucket, version.key, version.version_id, version.put_rank, answer)
            for version, answer in zip(here, answers, strict=True)
            if isinstance(answer, Deletion)
        ]
        denied += [version for version, answer in zip(here, answers, strict=True) if answer == _DENIED]
    return removed, denied
