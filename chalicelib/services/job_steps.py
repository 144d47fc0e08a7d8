"""Which function does which kind of job."""

from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from chalicelib.services import Transaction, folders, jobs, moving, trash, zips
from chalicelib.services.jobs import Steps
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore

STEPS: Mapping[str, Steps] = {
    "copy": Steps(moving.copy_step, moving.undo_copy),
    "move": Steps(moving.move_step, moving.undo_move, finishes="left"),
    "restore": Steps(moving.restore_step, moving.undo_restore),
    "delete_folder": Steps(folders.delete_step),
    "empty_trash": Steps(trash.empty_step),
    "zip": Steps(zips.zip_step),
}


def run_job(
    transaction: Transaction,
    store: ObjectStore,
    options: Settings,
    clock: Callable[[], datetime],
    job_id: UUID,
    seconds: float,
) -> None:
    """See `jobs.run_job`."""
    jobs.run_job(transaction, store, options, clock, STEPS, job_id, seconds)
