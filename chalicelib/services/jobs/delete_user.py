"""Deleting a user together with its files, or after they were handed over: in steps, each of which can be repeated.

The user is disabled in the transaction that makes the job, so that nobody goes on uploading as it. Then:

1. ``files``: what is not deleted goes to the trash; or all, deleted or not, goes to the new owner.
2. ``trash``: what is in the trash is removed permanently.
3. ``tombstones``: deleted files belong to nobody, and say nothing of the user any more. Then sessions and user go.

What came meanwhile all the same, by a request that was there before or by a link that was, is still there at the end. Then the
job begins ``again``; after some times it fails, and says what is left.
"""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from chalicelib.catalog.commands import DeleteUser
from chalicelib.catalog.progress import DeleteUserProgress, DeletionPhase
from chalicelib.db import handing_over, jobs, users
from chalicelib.db.models import Job
from chalicelib.db.refusals import meaningful_refusals
from chalicelib.db.scope import Owner
from chalicelib.db.trash import files_in_trash
from chalicelib.errors import Conflict, Unavailable
from chalicelib.services.accounts.users import deletable_user, disable_user, remove_user
from chalicelib.services.context import Transaction
from chalicelib.services.files.handing_over import give, require_receiver
from chalicelib.services.jobs.queue import Work, create_job
from chalicelib.services.jobs.sweep import purge_next
from chalicelib.services.removal.bulk import delete_files

_AT_ONCE = 500
_PURGED_AT_ONCE = 100
_TIMES = 3
# Below every file. It is no default, which the table would not note over what it has of the phase before.
_START = UUID(int=0)

DeletionWork = Work[DeleteUser, DeleteUserProgress]


def begin_deletion(tx: Transaction, user_id: UUID, to: UUID | None) -> Job:
    """The job that deletes a user, after its files were handed over to ``to`` or, with None, permanently removed.

    The user is disabled from this moment on.

    Raises:
        NotFound: there is no such user for this caller. Forbidden: the caller is no operator.
        Conflict: the caller itself is meant, or the files would go to the user.
        Unprocessable: there is no user ``to``, or nobody may act as it.
    """
    deletable_user(tx, user_id)
    if to == user_id:
        raise Conflict("The files belong to this user already.")
    if to is not None:
        require_receiver(tx, to)
    disable_user(tx, user_id)
    return create_job(tx, DeleteUser(user_id, to))


def delete_user_step(work: DeletionWork) -> bool:
    """Do the next part of the phase that the deletion is in.

    Raises:
        Forbidden: the job's owner is no operator (any more).
        Conflict: something is left that can't be removed, or the user was enabled again.
    """
    work.ctx.principal.require_operator("delete users")
    with work.ctx.transaction() as tx:
        user = users.find_known_user(tx.session, work.command.user_id)
    if user is None:
        return True  # an earlier process came this far
    if not user.is_disabled:
        raise Conflict("The user was enabled again, so it is not deleted. What was deleted until then stays so.")
    return _PHASES[work.progress.phase](work)


def _files(work: DeletionWork) -> bool:
    if work.command.to is not None:
        return _hand_over(work, work.command.to)
    owner, progress = Owner(work.command.user_id), work.progress
    with work.ctx.transaction() as tx:
        found = handing_over.files_of(tx.session, owner, progress.after, _AT_ONCE, deleted=False)
    for outcome in delete_files(work.ctx, found):
        if outcome.error is None:
            progress.done += 1
        else:
            work.note_failure(outcome.file_id, outcome.error)
    return _go_on(work, found[-1] if len(found) == _AT_ONCE else None, "trash")


def _hand_over(work: DeletionWork, to: UUID) -> bool:
    owner, progress = Owner(work.command.user_id), work.progress
    # Until the transaction has ended, only the table knows how far the job is: the answer to its commit may be lost.
    work.progress = DeleteUserProgress()
    with work.ctx.transaction() as tx:
        found = handing_over.files_of(tx.session, owner, progress.after, _AT_ONCE)
        if found:
            done = progress.done + give(tx, owner, found, to)
            progress = replace(progress, done=done, after=found[-1])
            work.save_with(tx, progress)  # in the same transaction, so that no file is counted twice
    work.progress = progress
    return _go_on(work, progress.after if len(found) == _AT_ONCE else None, "tombstones")


def _trash(work: DeletionWork) -> bool:
    owner = Owner(work.command.user_id)
    with work.ctx.transaction() as tx:
        found = files_in_trash(tx.session, owner, tx.now, work.progress.after, _PURGED_AT_ONCE)
    for file_id in found:
        purge_next(work, file_id)
        work.progress.after = file_id
        work.save(is_further=True)
    return _go_on(work, found[-1] if len(found) == _PURGED_AT_ONCE else None, "tombstones")


def _tombstones(work: DeletionWork) -> bool:
    owner, after = Owner(work.command.user_id), work.progress.after
    with work.ctx.transaction() as tx:
        found = handing_over.files_of(tx.session, owner, after, _AT_ONCE, deleted=True)
        handing_over.free_tombstones(tx.session, owner, found)
    if len(found) == _AT_ONCE:
        return _go_on(work, found[-1], "tombstones")
    return _remove(work)


def _remove(work: DeletionWork) -> bool:
    """Delete the user. If something has come meanwhile, begin again, unless nothing would become of that.

    Raises:
        Unavailable: the user's jobs have not ended yet. Those of a disabled user end when they are worked on next.
    """
    with work.ctx.transaction() as tx:
        jobs.hasten_jobs(tx.session, work.command.user_id, tx.now)
        open_jobs = jobs.count_open_jobs(tx.session, work.command.user_id)
    if open_jobs:
        raise Unavailable(f"The user's own jobs end first, {open_jobs} of them.")
    try:
        with meaningful_refusals(), work.ctx.transaction() as tx:
            remove_user(tx, Owner(work.command.user_id), with_sessions=True)
    except Conflict:
        if work.progress.failed or work.progress.again >= _TIMES:
            raise
    else:
        return True
    work.progress.again += 1
    return _go_on(work, None, "again")


def _go_on(work: DeletionWork, after: UUID | None, then: DeletionPhase) -> bool:
    """Go on after a file or, with None, with the phase ``then``."""
    work.progress.after = after or _START
    if after is None:
        work.progress.phase = then
    return False


_PHASES: dict[DeletionPhase, Callable[[DeletionWork], bool]] = {
    "files": _files,
    "again": _files,
    "trash": _trash,
    "tombstones": _tombstones,
}
