"""Handing all files of a session over to another user, some hundred at a time."""

from dataclasses import replace
from uuid import UUID

from chalicelib.catalog.commands import HandOver
from chalicelib.catalog.progress import SweepProgress
from chalicelib.db.handing_over import files_of
from chalicelib.db.models import Job
from chalicelib.db.scope import Owner
from chalicelib.services.accounts.sessions import get_session
from chalicelib.services.context import Transaction
from chalicelib.services.files.handing_over import give, require_receiver, require_right_to_give
from chalicelib.services.jobs.queue import Work, create_job

_AT_ONCE = 500


def begin_hand_over(tx: Transaction, session_id: str, to: UUID) -> Job:
    """The job that hands a session's files over to a user. The session itself stays, and so do deleted files: what is put at
    their keys again is its owner's.

    Raises:
        NotFound: there is no such session for this caller. Forbidden: the caller is no operator.
        Unprocessable: there is no user ``to``, or it is disabled.
    """
    found = get_session(tx, session_id)
    require_right_to_give(tx)
    require_receiver(tx, to)
    return create_job(tx, HandOver(found.owner_id, session_id, to))


def hand_over_step(work: Work[HandOver, SweepProgress]) -> bool:
    """Hand over some hundred files, the oldest first.

    Raises:
        Forbidden: the job's owner is no operator any more. Unprocessable: the receiver was disabled meanwhile, or deleted.
    """
    command, progress = work.command, work.progress
    owner = Owner(command.owner_id, session_id=command.session_id)
    # Until the transaction has ended, only the table knows how far the job is: the answer to its commit may be lost.
    work.progress = SweepProgress()
    with work.ctx.transaction() as tx:
        require_right_to_give(tx)
        found = files_of(tx.session, owner, progress.after, _AT_ONCE, deleted=False)
        if found:
            done = progress.done + give(tx, owner, found, command.to)
            progress = replace(progress, done=done, after=found[-1])
            work.save_with(tx, progress)  # in the same transaction, so that no file is counted twice
    work.progress = progress
    return len(found) < _AT_ONCE
