"""Bringing deleted files back, as they were, by removing their delete markers.

IAM tells a delete marker from a version by no condition, so this takes the right to remove versions. The process that answers
requests has none: it checks what is asked for, reserves the bytes, claims the files, and makes a job in the same transaction.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from uuid import UUID

from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.commands import Undelete
from chalicelib.catalog.files import File
from chalicelib.catalog.objects import DeleteMarker, Deletion, HiddenObject, Location
from chalicelib.catalog.observations import observe_deletion, observe_removal
from chalicelib.catalog.progress import UndeleteProgress
from chalicelib.db import files
from chalicelib.db.engine import savepoint
from chalicelib.db.history import hidden_objects
from chalicelib.db.jobs import OPEN
from chalicelib.db.locks import lock_files
from chalicelib.db.recording import record_changes
from chalicelib.db.scope import EVERYONE
from chalicelib.errors import AgainstPolicy, Conflict, LandfallError, NotFound, OverQuota, Unavailable
from chalicelib.services.accounts.policies import check_version, end_restores, reserve_restore
from chalicelib.services.context import Context, Transaction
from chalicelib.services.files.claims import CLAIM, claim_files, release_files
from chalicelib.services.jobs.queue import Work, create_job, failures_of, get_job
from chalicelib.services.removal.batches import Answer, Errors, Outcome, by_bucket, delete_in_batches, error_in
from chalicelib.services.removal.deletion import look_for_changes
from chalicelib.services.removal.null_versions import require_unreplaced
from chalicelib.services.truth.healing import heal
from chalicelib.store.deleting import Deleter

_READERS = 8
_BUSY = "The file is being restored, or permanently removed, at this moment."

UndeleteWork = Work[Undelete, UndeleteProgress]


def begin_undelete(ctx: Context, file_ids: Sequence[UUID]) -> list[Outcome]:
    """Make a job that brings deleted files back; returns what is known of each, in their order.

    A file that is there already is left as it is. S3 is asked whether it is: a deletion whose answer was lost may not be recorded
    yet, and would be done after the restore otherwise.
    """
    unsure = look_for_changes(ctx, file_ids, "stored")
    wanted = [file_id for file_id in file_ids if file_id not in unsure]
    with ctx.transaction() as tx:
        found = files.find_files(tx.session, tx.scope, wanted)
        claimed = claim_files(tx, found)
        deleted, errors = _reserve_all(tx, found, claimed, wanted)
        release_files(tx, claimed.difference(deleted))
        job = create_job(tx, Undelete(deleted, tx.now + CLAIM), deleted) if deleted else None
    errors |= unsure
    going_on = dict.fromkeys(deleted, job.id) if job else {}
    return [Outcome(file_id, errors[file_id], going_on.get(file_id)) for file_id in file_ids]


def outcomes_of(ctx: Context, job_id: UUID, file_ids: Sequence[UUID]) -> list[Outcome]:
    """What the caller's job has made of these files, which it has let the caller name.

    Raises:
        NotFound: the job is gone.
    """
    with ctx.by_itself().transaction() as tx:
        job = get_job(tx, job_id)
        if job.state in OPEN:
            return [Outcome(file_id, job_id=job_id) for file_id in file_ids]
        why = failures_of(job)
        with tx.as_landfall():  # they may be in sessions of others; the caller learns whether its own request was done
            found = files.find_files(tx.session, EVERYONE, file_ids)
    other = job.problem or "It was deleted once more, or removed, meanwhile."
    # Where another object has come, the file is there, and what was asked for wasn't done.
    there = {file.id for file in found.values() if file.state == "stored" and str(file.id) not in why}
    return [
        Outcome(file_id) if file_id in there else Outcome(file_id, Conflict(why.get(str(file_id), other)))
        for file_id in file_ids
    ]


def undelete_step(work: UndeleteWork) -> bool:
    """Remove the delete markers above the newest object of each file, all of them at once.

    Whether the job's owner may was asked when the job was made. A file that is there already is left as it is.

    Raises:
        StoreUnavailable: S3 did not remove every marker. What it has removed is recorded, and the next try does the rest.
    """
    found = _claim(work)
    try:
        errors = _bring_back(work.ctx, found)
    finally:
        with work.ctx.transaction() as tx, tx.as_landfall():
            release_files(tx, list(found))
    for error in errors.values():
        if isinstance(error, Unavailable):
            raise error
    for file_id in work.command.file_ids:
        problem = errors.get(file_id) if file_id in found else Conflict(_BUSY)
        if problem is None:
            work.progress.done += 1
        else:
            work.note_failure(file_id, problem)
    with work.ctx.transaction() as tx, tx.as_landfall():
        end_restores(tx, work.command.file_ids)
    return True


def undo_undelete(work: UndeleteWork) -> None:
    """Free what was reserved, and the files that the request has claimed."""
    mine = work.progress.claimed or work.command.claimed
    with work.ctx.transaction() as tx, tx.as_landfall():
        release_files(tx, claim_files(tx, work.command.file_ids, mine))
        end_restores(tx, work.command.file_ids)


def _claim(work: UndeleteWork) -> dict[UUID, File]:
    """Claim the files, from the request or from an earlier process of the job; returns those that nobody else has claimed."""
    mine = work.progress.claimed or work.command.claimed
    with work.ctx.transaction() as tx, tx.as_landfall():
        claimed = claim_files(tx, work.command.file_ids, mine)
        # Noted in the same transaction: if this process dies, the next one takes the claims over.
        progress = replace(work.progress, claimed=tx.now + CLAIM)
        work.save_with(tx, progress)
        found = files.find_files(tx.session, EVERYONE, list(claimed))
    work.progress = progress
    return found


def _bring_back(ctx: Context, found: Mapping[UUID, File]) -> Errors:
    """Bring back those of these files that are deleted; returns what became of each."""
    deleted = [file for file in found.values() if file.state == "deleted"]
    with ctx.transaction() as tx, tx.as_landfall():
        hidden = hidden_objects(tx.session, [file.location for file in deleted])
    errors: Errors = {}
    markers: dict[UUID, list[DeleteMarker]] = {}
    for file in deleted:
        try:
            markers[file.id] = _require_markers(hidden.get(file.location)).markers
        except Conflict as error:
            errors[file.id] = error
    for bucket, group in by_bucket(file for file in deleted if file.id in markers):
        errors |= _remove_markers(ctx, bucket, group, markers)
    return errors


def _remove_markers(
    ctx: Context, bucket: str, group: Sequence[File], markers: Mapping[UUID, list[DeleteMarker]]
) -> Errors:
    """Remove the delete markers of files of one bucket; returns what became of each."""
    errors: Errors = {file.id: None for file in group}
    without_id = [(file, marker) for file in group for marker in markers[file.id] if not marker.version_id]
    answers: list[Answer] = []
    if without_id:
        deleter = ctx.store.deleter  # here, because several threads at once would each connect a store
        with ThreadPoolExecutor(_READERS) as pool:
            answers += pool.map(partial(_remove_null_marker, ctx, deleter), [file.location for file, _ in without_id])
    # First those: where another object is in the place of one, the markers above it must go on hiding it.
    pairs = zip(without_id, answers, strict=True)
    kept = {file.id for (file, _), answer in pairs if not isinstance(answer, Deletion)}
    with_id = [(file, one) for file in group for one in markers[file.id] if one.version_id and file.id not in kept]
    answers += delete_in_batches(ctx, bucket, [(file.key, marker.version_id) for file, marker in with_id])
    removed = []
    for (file, marker), answer in zip([*without_id, *with_id], answers, strict=True):
        if isinstance(answer, Deletion):
            removed.append(observe_removal(*file.location, marker.version_id, marker.put_rank, answer))
        else:
            errors[file.id] = error_in(answer)
    back = [file_id for file_id, error in errors.items() if error is None]
    ctx.in_transaction(partial(_record_restored, file_ids=back, changes=removed))
    heal(ctx, [file.location for file in group if isinstance(errors[file.id], Conflict)])
    return errors | _why_still_hidden(ctx, back)


def _remove_null_marker(ctx: Context, deleter: Deleter, location: Location) -> Answer:
    """One by one, so that little can come between the look and the removal."""
    try:
        require_unreplaced(ctx, location, None)
        return deleter.delete(*location, "null")
    except LandfallError as error:
        return error


def _record_restored(tx: Transaction, file_ids: Sequence[UUID], changes: Sequence[ObjectChange]) -> None:
    lock_files(tx.session, file_ids, {(change.bucket, change.key) for change in changes})
    record_changes(tx.session, changes, tx.now)
    files.mark_restored(tx.session, file_ids)


def _reserve_all(
    tx: Transaction, found: Mapping[UUID, File], claimed: set[UUID], file_ids: Sequence[UUID]
) -> tuple[list[UUID], Errors]:
    """Reserve the bytes of deleted files. Returns those that can be restored, and what went wrong for each of all."""
    deleted = [file.location for file in found.values() if file.state == "deleted"]
    hidden = hidden_objects(tx.session, deleted)
    restorable: list[UUID] = []
    errors: Errors = {}
    for file_id in file_ids:
        try:
            file = _restorable(file_id, found.get(file_id), file_id in claimed)
            if file is not None:
                there = _require_markers(hidden.get(file.location))
                check_version(tx, file, there.version)
                with savepoint(tx.session):  # a reservation that exceeds a quota is rolled back
                    reserve_restore(tx, file, there.version.size or 0)
                restorable.append(file_id)
            errors[file_id] = None
        except (NotFound, Conflict, AgainstPolicy, OverQuota) as error:
            errors[file_id] = error
    return restorable, errors


def _restorable(file_id: UUID, file: File | None, is_claimed: bool) -> File | None:
    """The file, if it is deleted; None if it is there already."""
    if file is None:
        raise NotFound(f"There is no file {file_id}.")
    if not is_claimed:
        raise Conflict(_BUSY)
    if file.state == "pending":
        raise Conflict("The file's bytes have not arrived yet; there is nothing to restore.")
    return file if file.state == "deleted" else None


def _require_markers(hidden: HiddenObject | None) -> HiddenObject:
    if hidden is None or not hidden.markers:
        raise Conflict("Nothing is left of the file that could be restored: S3 holds no version of it.")
    return hidden


def _why_still_hidden(ctx: Context, file_ids: Sequence[UUID]) -> Errors:
    """Why files are still hidden although their known delete markers are removed. Files that are back are left out.

    A file that another delete marker hides is recorded as deleted, whether or not the event of that marker is on its
    way.
    """
    with ctx.transaction() as tx, tx.as_landfall():
        found = list(files.find_files(tx.session, EVERYONE, file_ids).values())
    with ThreadPoolExecutor(_READERS) as pool:
        seen = list(zip(found, pool.map(partial(_hiding_marker, ctx), found), strict=True))
    hidden = [(file, Deletion(marker, True, ctx.now)) for file, marker in seen if isinstance(marker, str)]
    changes = [
        observe_deletion(*file.location, file.current, deletion) for file, deletion in hidden if file.state == "stored"
    ]
    ctx.in_transaction(lambda tx: record_changes(tx.session, changes, tx.now))
    again = Conflict("Another client has deleted it once more; restore it again if that is to be undone, too.")
    errors: Errors = {file.id: error for file, error in seen if isinstance(error, LandfallError)}
    return errors | {file.id: again for file, _ in hidden}


def _hiding_marker(ctx: Context, file: File) -> str | LandfallError | None:
    try:
        return ctx.store.hiding_marker(*file.location)
    except LandfallError as error:
        return error
