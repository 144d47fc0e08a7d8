"""Jobs that go through many files, some at a time: deleting a folder, emptying the trash."""

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from chalicelib.catalog.commands import DeleteFolder, EmptyTrash
from chalicelib.catalog.progress import SweepProgress
from chalicelib.db.folders import Folder, files_below
from chalicelib.db.scope import EVERYONE
from chalicelib.db.trash import files_in_trash
from chalicelib.errors import Cancelled, DatabaseUnavailable, LandfallError
from chalicelib.services.context import Transaction
from chalicelib.services.jobs.queue import Work
from chalicelib.services.removal.bulk import delete_files
from chalicelib.services.removal.trash import Purging, purge

_DELETED_AT_ONCE = 500
_PURGED_AT_ONCE = 100


def delete_folder_step(work: Work[DeleteFolder, SweepProgress]) -> bool:
    """Delete some hundred of the files in a folder, the oldest first. Only files from before the job was made are deleted."""
    command, progress = work.command, work.progress
    with work.ctx.transaction() as tx:
        folder = Folder(command.bucket, command.prefix)
        found = files_below(tx.session, tx.scope, folder, command.until, progress.after, _DELETED_AT_ONCE)
    for outcome in delete_files(work.ctx, found):
        if outcome.error is None:
            progress.done += 1
        else:
            work.note_failure(outcome.file_id, outcome.error)
    if found:
        progress.after = found[-1]
    return len(found) < _DELETED_AT_ONCE


def empty_trash_step(work: Work[EmptyTrash, SweepProgress]) -> bool:
    """Purge some of the caller's files, or of everyone's, that were in the trash when the job was made.

    Raises:
        Forbidden: the trash of everyone is meant, and the caller is no operator (any more).
    """
    command, progress = work.command, work.progress
    if command.everyones:
        work.ctx.principal.require_operator("empty everyone's trash")
    with work.ctx.transaction() as tx:
        scope = EVERYONE if command.everyones else tx.principal.itself
        found = files_in_trash(tx.session, scope, command.until, progress.after, _PURGED_AT_ONCE)
    for file_id in found:
        progress.done += purge_next(work, file_id, command.until)
        progress.after = file_id
        work.save(is_further=True)
    return len(found) < _PURGED_AT_ONCE


def purge_next(work: Work[Any, Any], file_id: UUID, until: datetime | None = None) -> bool:
    """Purge a file, as the next one of a job that goes through files; returns whether that was possible. Why not is noted.

    ``until``: see `purge`.

    Raises:
        Cancelled: the job is to end. DatabaseUnavailable.
    """
    progress: SweepProgress = work.progress

    def keep_claim(tx: Transaction, until: datetime) -> None:
        # If this process dies, the next one takes the claim over.
        progress.claimed = until
        work.save_with(tx, progress)

    try:
        purge(work.ctx, file_id, until, Purging(progress.claimed, keep_claim, partial(work.save, is_further=True)))
    except (Cancelled, DatabaseUnavailable):
        raise
    except LandfallError as error:
        work.note_failure(file_id, error)
        return False
    return True
