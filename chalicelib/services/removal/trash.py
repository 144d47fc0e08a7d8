"""The trash: deleted files whose versions S3 still holds. Purging one removes them permanently."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.objects import Deletion, ObjectVersion
from chalicelib.catalog.observations import observe_removal
from chalicelib.db import files, trash
from chalicelib.db.history import versions_of
from chalicelib.db.recording import record_changes
from chalicelib.db.scope import EVERYONE
from chalicelib.errors import Conflict, LandfallError, StoreUnavailable
from chalicelib.services.accounts.policies import end_restores
from chalicelib.services.accounts.trail import note
from chalicelib.services.context import Context
from chalicelib.services.files.claims import claim_files, hold_files, release_files
from chalicelib.services.removal.deletion import delete_found

_MAX_VERSIONS = 1000
_RETRY = timedelta(hours=1)


def purge(ctx: Context, file_id: UUID) -> None:
    """Remove every version of a deleted file. Delete markers come last: as long as one is left, no object shows.

    Raises:
        Conflict: the file is being restored. StoreUnavailable: S3 did not remove every version.
    """
    with ctx.transaction() as tx:
        if not claim_files(tx, [file_id]):
            raise Conflict("The file is being restored at this moment.")
        note(tx, "purge", [file_id])
    try:
        while _purge_some(ctx, file_id):
            pass
    finally:
        with ctx.transaction() as tx:
            release_files(tx, [file_id])


def purge_old(ctx: Context, limit: int) -> int:
    """Purge up to ``limit`` files that have been in the trash for `LANDFALL_TRASH_DAYS`; returns how many there were."""
    if not ctx.settings.trash_days:
        return 0
    with ctx.transaction() as tx:
        until = tx.now - timedelta(days=tx.settings.trash_days)
        found = trash.old_trash(tx.session, until, tx.now, limit)
    return _count_done(ctx, found, purge)


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
    """Do ``action`` with each file; returns for how many it worked.

    A file for which it failed rests for an hour, so that it doesn't keep others waiting.
    """
    done = 0
    for file_id in file_ids:
        try:
            action(ctx, file_id)
            done += 1
        except LandfallError:
            with ctx.transaction() as tx:
                hold_files(tx, [file_id], tx.now + _RETRY)
    return done


def _purge_some(ctx: Context, file_id: UUID) -> bool:
    """Remove up to a thousand versions; returns False when none is left, or when the file was restored."""
    with ctx.transaction() as tx:
        file = files.find_file(tx.session, EVERYONE, file_id)
        if file is None or file.state != "deleted":
            return False
        versions = versions_of(tx.session, EVERYONE, file_id, _MAX_VERSIONS)
        if not versions:
            trash.mark_purged(tx.session, file_id, tx.now)
            return False
    removed = _remove(ctx, versions)
    ctx.in_transaction(lambda tx: record_changes(tx.session, removed, tx.now))
    if len(removed) < len(versions):
        raise StoreUnavailable("The object store did not remove every version.")
    return True


def _remove(ctx: Context, versions: Sequence[ObjectVersion]) -> list[ObjectChange]:
    """Have S3 remove versions; returns the removals that it confirmed."""
    removed: list[ObjectChange] = []
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
    return removed
