"""Restoring an earlier version: S3 copies it over the current one, and the versions between stay."""

from dataclasses import replace
from functools import partial
from uuid import UUID

from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.commands import JobResult, Restore
from chalicelib.catalog.files import File
from chalicelib.catalog.objects import ObjectHead
from chalicelib.catalog.observations import observe_head
from chalicelib.catalog.progress import RestoreProgress
from chalicelib.db.files import find_file, mark_restored
from chalicelib.db.history import current_at, find_version
from chalicelib.db.locks import lock_files
from chalicelib.db.models import Job
from chalicelib.db.recording import record_changes
from chalicelib.db.scope import EVERYONE
from chalicelib.errors import Conflict, NotFound, PreconditionFailed, Refused, TimeIsUp, Unavailable
from chalicelib.services.accounts.policies import check_version, end_restores, reserve_restore
from chalicelib.services.context import Transaction
from chalicelib.services.files.claims import CLAIM, claim_files, release_files
from chalicelib.services.files.reading import visible_file
from chalicelib.services.jobs.copying import copy_over, drop_parts, head, is_unnoted_copy
from chalicelib.services.jobs.queue import Work, create_job

RestoreWork = Work[Restore, RestoreProgress]


def begin_restore(tx: Transaction, file_id: UUID, version_id: str) -> tuple[Job, Restore]:
    """The job that makes an earlier version of a file its newest one again.

    Raises:
        NotFound: there is no such file or version for this caller. OverQuota: the owner or the session would have too
            much.
        AgainstPolicy: see `check_version`.
    """
    file = visible_file(tx, file_id)
    version = find_version(tx.session, tx.scope, file_id, version_id)
    if version is None:
        raise NotFound(f"The file {file_id} has no such version, or it holds no bytes.")
    check_version(tx, file, version)
    reserve_restore(tx, file, (version.size or 0) - (file.size or 0))
    # An object that is put there while the job waits is newer than this request, and must stay.
    over = (file.etag or None) if file.state == "stored" else ""
    command = Restore(file_id, version.source, over)
    return create_job(tx, command, [file_id]), command


def restore_step(work: RestoreWork) -> bool:
    """Have S3 copy the version over the file's key, and record it.

    Raises:
        Conflict: the file is being permanently removed at this moment, or was put or deleted again meanwhile.
    """
    ctx, file_id = work.ctx, work.command.file_id
    # The job's owner may be a member of the file's session: whether it may was asked when the job was made.
    with ctx.transaction() as tx, tx.as_landfall():
        file = find_file(tx.session, EVERYONE, file_id)
        if file is None:
            raise NotFound(f"There is no file {file_id}.")
        before = current_at(tx.session, *file.location)
        if not claim_files(tx, [file_id], work.progress.claimed):
            raise Conflict("The file is being restored, or permanently removed, at this moment.")
        # Noted in the same transaction: if this process dies, the next one takes the claim over.
        progress = replace(work.progress, claimed=tx.now + CLAIM)
        work.save_with(tx, progress)
    work.progress = progress
    is_to_go_on = False
    try:
        made = _copy(work, file)
        observed = observe_head(*file.location, made, ctx.now, before)
        ctx.in_transaction(partial(_record_restored, file_id=file_id, observed=observed))
    except PreconditionFailed:
        raise Conflict("The file was changed meanwhile; it is as it was changed.") from None
    except (TimeIsUp, Unavailable) as error:  # the parts at the file's key are gone on with
        is_to_go_on = not isinstance(error, Refused)
        raise
    finally:
        if not is_to_go_on:
            with ctx.transaction() as tx, tx.as_landfall():
                release_files(tx, [file_id])
    work.result = JobResult(file_id)
    return True


def _copy(work: RestoreWork, file: File) -> ObjectHead:
    """Have S3 copy the version, once, over the object that was there when the caller asked for the restore.

    Raises:
        PreconditionFailed: another object is there by now.
    """
    progress, command = work.progress, work.command
    there = head(work.ctx, file.location)
    if there is not None and progress.copying and is_unnoted_copy(there, command.source, progress):
        return there  # an earlier process came this far
    progress.copying = True
    work.save()
    over = command.over
    if over is None:  # an event need not name an ETag
        over = there.etag if there else ""
    return copy_over(work, command.source, file.location, over)


def _record_restored(tx: Transaction, file_id: UUID, observed: ObjectChange) -> None:
    lock_files(tx.session, [file_id], [(observed.bucket, observed.key)])
    record_changes(tx.session, [observed], tx.now)
    mark_restored(tx.session, [file_id])


def undo_restore(work: RestoreWork) -> None:
    """Free what was reserved for the restore, and the claim that it may still hold; throw parts away."""
    drop_parts(work)
    file_id, claimed = work.command.file_id, work.progress.claimed
    with work.ctx.transaction() as tx, tx.as_landfall():
        if claimed is not None:  # first, because it locks the file's key
            release_files(tx, claim_files(tx, [file_id], claimed))
        end_restores(tx, [file_id])
