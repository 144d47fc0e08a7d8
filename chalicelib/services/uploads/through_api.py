"""Uploads whose bytes come through the API."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from chalicelib.catalog.commands import TakeBack, Taken
from chalicelib.catalog.files import File
from chalicelib.catalog.objects import StoredObject
from chalicelib.catalog.observations import observe_put
from chalicelib.db import uploads
from chalicelib.db.files import find_files, forget_pending
from chalicelib.db.recording import record_changes
from chalicelib.db.scope import EVERYONE
from chalicelib.errors import StoreUnavailable, StoreUncertain
from chalicelib.services.accounts.trail import note
from chalicelib.services.context import Context, Transaction
from chalicelib.services.jobs.queue import create_job, ring
from chalicelib.services.uploads.reservations import Description, Reservation, UploadRequest, reserve

_WRITERS = 8
# What came of one put; None: it was never begun.
_Outcome = StoredObject | StoreUnavailable | None


@dataclass(frozen=True, slots=True)
class IncomingFile:
    """A file as it came. ``name`` is the client's own, with any characters that Postgres takes."""

    name: str
    media_type: str
    body: bytes


def upload_files(ctx: Context, incoming: Sequence[IncomingFile], description: Description) -> list[File]:
    """Store files and record them at once, all or none; returns them in their order.

    The rows come first, as ``pending``, in a transaction of their own. So no transaction is open while S3 takes the
    bytes, and an event that comes before we are done finds owner, name and session there. Then:

    - S3 fails: the pending rows are deleted, and a job removes the objects that it stored, because this process has no right to
      remove versions. If S3 didn't say whether it stored an object, that file stays ``pending``: if the object is there, its
      event finds the row and its owner.
    - The database fails after S3 took the bytes: the objects' own events record the files, under the same ids.
    - This process dies: the objects' own events record the files, too. A row whose object never came stays ``pending``.

    What is recorded here has no sequencer, so the event of the same put merges into it, and nothing is recorded twice.

    Raises:
        AgainstPolicy, OverQuota: see `reserve`. Nothing was stored.
        StoreUnavailable, DatabaseUnavailable: as above.
    """
    requests = [
        UploadRequest(file.name, file.media_type, len(file.body), method="put", description=description)
        for file in incoming
    ]
    with ctx.transaction() as tx:
        reservations = reserve(tx, requests)
        note(tx, "upload", [one.file_id for one in reservations])
    outcomes = _put_all(ctx, reservations, incoming)
    failures = [outcome for outcome in outcomes if isinstance(outcome, StoreUnavailable)]
    if failures:
        _take_back(ctx, reservations, outcomes)
        raise failures[0]
    stored = [outcome for outcome in outcomes if isinstance(outcome, StoredObject)]
    return ctx.in_transaction(lambda tx: _record(tx, reservations, stored))


def _record(tx: Transaction, reservations: Sequence[Reservation], stored: Sequence[StoredObject]) -> list[File]:
    changes = [
        observe_put(*one.location, answer, one.request.media_type)
        for one, answer in zip(reservations, stored, strict=True)
    ]
    file_ids = [one.file_id for one in reservations]
    record_changes(tx.session, changes, tx.now)
    uploads.close_uploads(tx.session, file_ids, tx.now)
    return list(find_files(tx.session, EVERYONE, file_ids).values())


def _put_all(ctx: Context, reservations: Sequence[Reservation], incoming: Sequence[IncomingFile]) -> list[_Outcome]:
    """Put every file, several at once; returns what came of each. If one fails, no further one is begun (None)."""
    put = ctx.store.put
    if len(incoming) == 1:  # needs no thread of its own
        return [_outcome(lambda: put(*reservations[0].location, incoming[0].body, incoming[0].media_type))]
    with ThreadPoolExecutor(min(_WRITERS, len(incoming))) as pool:
        puts = [
            pool.submit(put, *one.location, file.body, file.media_type)
            for one, file in zip(reservations, incoming, strict=True)
        ]
        wait(puts, return_when=FIRST_EXCEPTION)
        for future in puts:
            future.cancel()
    return [None if future.cancelled() else _outcome(future.result) for future in puts]


def _outcome(put: Callable[[], StoredObject]) -> _Outcome:
    try:
        return put()
    except StoreUnavailable as error:
        return error


def _take_back(ctx: Context, reservations: Sequence[Reservation], outcomes: Sequence[_Outcome]) -> None:
    """Forget the files of which S3 has taken nothing, and have a job remove the objects of the others."""
    came = list(zip(reservations, outcomes, strict=True))
    taken = [
        Taken(one.file_id, one.location, outcome.version_id, outcome.etag)
        for one, outcome in came
        if isinstance(outcome, StoredObject)
    ]
    nothing = [one.file_id for one, outcome in came if not isinstance(outcome, StoredObject | StoreUncertain)]
    with ctx.transaction() as tx:
        forget_pending(tx.session, nothing)
        job = create_job(tx, TakeBack(taken), [one.file_id for one in taken]) if taken else None
    if job is not None:
        ring(ctx, job.id)
