"""Which functions do which kind of job."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from chalicelib.catalog.commands import JobKind
from chalicelib.services.context import Context
from chalicelib.services.jobs import (
    assign,
    copy,
    delete_user,
    hand_over,
    move,
    queue,
    restore,
    sweep,
    take_back,
    undelete,
    zip,
)
from chalicelib.services.jobs.queue import Steps

KINDS: Mapping[JobKind, Steps[Any, Any]] = {
    "copy": Steps(copy.copy_step, copy.undo_copy),
    "move": Steps(move.move_step, move.undo_move, move.is_tidying),
    "restore": Steps(restore.restore_step, restore.undo_restore),
    "undelete": Steps(undelete.undelete_step, undelete.undo_undelete),
    "delete_folder": Steps(sweep.delete_folder_step),
    "empty_trash": Steps(sweep.empty_trash_step),
    "zip": Steps(zip.zip_step, zip.undo_zip),
    "assign_owners": Steps(assign.assign_step),
    "hand_over": Steps(hand_over.hand_over_step),
    "delete_user": Steps(delete_user.delete_user_step),
    "take_back": Steps(take_back.take_back_step, is_tidying=take_back.is_always_tidying),
}


def run_job(ctx: Context, job_id: UUID, seconds: float) -> None:
    """See `queue.run_job`."""
    queue.run_job(ctx, KINDS, job_id, seconds)
