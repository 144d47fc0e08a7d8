"""Uploads that nobody finished: S3 is asked once more for their objects, then they are given up."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from chalicelib import telemetry
from chalicelib.catalog.files import File
from chalicelib.db import due_uploads, files, uploads
from chalicelib.db.claims import is_claimed
from chalicelib.db.locks import lock_files
from chalicelib.db.scope import EVERYONE
from chalicelib.db.uploads import UploadRow
from chalicelib.errors import DatabaseUnavailable, NotFound
from chalicelib.services.accounts.trail import note
from chalicelib.services.context import Context, Transaction
from chalicelib.services.uploads.completion import record_if_there
from chalicelib.services.uploads.reservations import abort_parts

_RETRY = timedelta(minutes=15)
_ABORT_MORE = timedelta(minutes=1)

_Outcome = Literal["abandoned", "found", "going_on", "failed"]


@dataclass(frozen=True, slots=True)
class Reaped:
    """How many uploads were given up, found at S3 after all, are still going on, or couldn't be judged."""

    abandoned: int = 0
    found: int = 0
    going_on: int = 0
    failed: int = 0


def reap_uploads(ctx: Context, limit: int) -> Reaped:
    """Judge up to ``limit`` uploads whose time is up, each owner's in turn, the oldest first.

    The time of a multipart upload counts from its latest part, so an upload that still gets parts goes on. Otherwise
    its parts are thrown away. S3 is asked for the object only after that: a client that completes the upload at this
    moment is either seen, or comes too late.
    """
    with ctx.transaction() as tx:
        due_uploads.forget_stored(tx.session, tx.now)
        due = due_uploads.overdue_uploads(tx.session, tx.now, limit)
    counts = Counter(_reap(ctx, file_id) for file_id in ctx.for_a_while(due))
    return Reaped(counts["abandoned"], counts["found"], counts["going_on"], counts["failed"])


def give_up(ctx: Context, file_id: UUID, problem: str, *, are_gone: bool, expired: datetime | None = None) -> bool:
    """Make a pending file a tombstone that says why. If an event comes after all, the file is stored under the same id.

    ``are_gone``: no multipart upload to its key is left. Otherwise the upload stays open, so that `reap_uploads` aborts more.
    ``expired``: do so only if its time was up then, and nobody has renewed it meanwhile; says whether that was so.
    """
    with ctx.transaction() as tx:
        if expired is not None:
            lock_files(tx.session, [file_id])  # before its upload, as whoever completes it does
            if not uploads.still_ends_at(tx.session, file_id, expired):
                return False
        files.mark_deleted(tx.session, [file_id], tx.now)
        note(tx, "abandon", [file_id])
        uploads.change_upload(tx.session, file_id, size=None, problem=problem)
        _close_or_abort_more(tx, file_id, are_gone)
    return True


def _close_or_abort_more(tx: Transaction, file_id: UUID, are_gone: bool) -> None:
    if are_gone:
        uploads.change_upload(tx.session, file_id, closed_at=tx.now)
    else:
        uploads.change_upload(tx.session, file_id, expires_at=tx.now + _ABORT_MORE)


def _reap(ctx: Context, file_id: UUID) -> _Outcome:
    try:
        return _judge(ctx, file_id)
    except DatabaseUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it was, one upload must not keep the others waiting
        telemetry.log("warning", "an upload whose time is up could not be judged", file_id=file_id, error=error)
        with ctx.transaction() as tx:
            uploads.change_upload(tx.session, file_id, expires_at=tx.now + _RETRY)  # others come first
        return "failed"


def _judge(ctx: Context, file_id: UUID) -> _Outcome:
    with ctx.transaction() as tx:
        file, upload = (
            files.find_file(tx.session, EVERYONE, file_id),
            uploads.find_upload(tx.session, EVERYONE, file_id),
        )
        if file is None or upload is None:
            return "abandoned"
        if file.state == "stored":  # its event came; the upload is kept to be judged
            uploads.close_uploads(tx.session, [file_id], tx.now)
            return "found"
    is_pending = file.state == "pending"
    if (is_pending and _goes_on(ctx, file, upload)) or _is_needed(ctx, upload):
        return "going_on"
    are_gone = abort_parts(ctx, file)
    if is_pending and record_if_there(ctx, file_id, file.location):
        return "found"
    if is_pending:
        problem = upload.problem or "No bytes came."
        problem = f"The upload was abandoned at {upload.expires_at.isoformat()}: {problem}"
        if not give_up(ctx, file_id, problem, are_gone=are_gone, expired=upload.expires_at):
            return "going_on"
    else:  # deleted or given up before
        with ctx.transaction() as tx:
            _close_or_abort_more(tx, file_id, are_gone)
    return "abandoned"


def _is_needed(ctx: Context, upload: UploadRow) -> bool:
    """Whether the parts at its key must stay: its owner has renewed it by now, or a restore is copying to that key."""
    with ctx.transaction() as tx:
        if is_claimed(tx.session, upload.file_id, tx.now):
            uploads.change_upload(tx.session, upload.file_id, expires_at=tx.now + _RETRY)
            return True
        return not uploads.still_ends_at(tx.session, upload.file_id, upload.expires_at) or upload.expires_at >= tx.now


def _goes_on(ctx: Context, file: File, upload: UploadRow) -> bool:
    """Whether an upload still has time, counted from its latest part; if so, note until when."""
    if not upload.multipart_id:
        return False
    try:
        parts = ctx.store.multipart.list_parts(*file.location, upload.multipart_id)
    except NotFound:
        return False
    latest = max((part.stored_at for part in parts if part.stored_at), default=upload.created_at)
    until = latest + timedelta(seconds=ctx.settings.upload_seconds)
    if until <= ctx.now:
        return False
    with ctx.transaction() as tx:
        uploads.change_upload(tx.session, file.id, expires_at=until)
    return True
