"""Taking an upload of several files back that failed half way: removing the objects that S3 took of it."""

from contextlib import suppress
from functools import partial

from chalicelib.catalog.commands import TakeBack, Taken
from chalicelib.catalog.objects import Deletion
from chalicelib.catalog.observations import observe_deletion, observe_removal
from chalicelib.catalog.progress import TakeBackProgress
from chalicelib.db.files import forget_pending
from chalicelib.db.history import current_at
from chalicelib.db.locks import lock_keys
from chalicelib.db.recording import record_changes
from chalicelib.errors import NotFound, PreconditionFailed, Refused, StoreUnavailable
from chalicelib.services.context import Context, Transaction
from chalicelib.services.jobs.queue import Work


def take_back_step(work: Work[TakeBack, TakeBackProgress]) -> bool:
    """Remove each object, and the row that waits for it.

    Raises:
        StoreUnavailable: S3 doesn't answer. Then this is done again, until it does.
    """
    failure: StoreUnavailable | None = None
    for taken in work.command.taken:
        try:
            _take_back(work.ctx, taken)
        except StoreUnavailable as error:  # the others can be taken back nevertheless
            failure = error
    if failure is not None:
        raise failure
    return True


def is_always_tidying(progress: TakeBackProgress) -> bool:
    """The upload has failed already, so the job is never given up: otherwise files would stay that nobody knows of."""
    return True


def _take_back(ctx: Context, taken: Taken) -> None:
    """Remove one object by its version, so that no delete marker is left behind.

    If S3's first answer to the put was lost, it was asked twice, and the first version shows now. Its event makes the file.
    """
    deletion = _remove(ctx, taken)
    try:
        ctx.store.head(*taken.location)
    except NotFound:
        ctx.in_transaction(partial(_record, taken=taken, deletion=deletion))


def _remove(ctx: Context, taken: Taken) -> Deletion | None:
    """Have S3 remove an object; None if it is gone already.

    If Object Lock, or a hold, keeps the version, a delete marker hides it: then the file is in the trash until that is over.
    """
    with suppress(NotFound, PreconditionFailed):
        if taken.version_id:
            with suppress(Refused):
                return ctx.store.deleter.delete(*taken.location, taken.version_id)
        return ctx.store.deleter.delete_if(*taken.location, taken.etag)
    return None


def _record(tx: Transaction, taken: Taken, deletion: Deletion | None) -> None:
    """Forget the row if it still waits. If the object's event has come before, the file is recorded as deleted."""
    lock_keys(tx.session, [taken.location])  # before the file, as events do
    forget_pending(tx.session, [taken.file_id])
    if deletion is None:
        return
    location, version_id = taken.location, taken.version_id
    if version_id and not deletion.is_marker:
        record_changes(tx.session, [observe_removal(*location, version_id, "", deletion)], tx.now)
    elif before := current_at(tx.session, *location):
        record_changes(tx.session, [observe_deletion(*location, before, deletion)], tx.now)
