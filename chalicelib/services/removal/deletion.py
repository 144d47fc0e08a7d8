"""Deleting one file: its object, and the parts of an unfinished upload."""

from collections.abc import Container, Sequence
from functools import partial
from uuid import UUID

from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.files import File, FileState
from chalicelib.catalog.objects import Deletion
from chalicelib.catalog.observations import observe_deletion
from chalicelib.db import files, uploads
from chalicelib.db.history import current_at
from chalicelib.db.locks import lock_files
from chalicelib.db.recording import record_changes
from chalicelib.db.scope import EVERYONE
from chalicelib.errors import Conflict, NotFound, PreconditionFailed, StoreUnavailable
from chalicelib.services.accounts.trail import note
from chalicelib.services.context import Context, Transaction
from chalicelib.services.files.reading import check_revision, get_file
from chalicelib.services.truth.healing import heal
from chalicelib.services.uploads.completion import record_if_there
from chalicelib.services.uploads.reservations import abort_parts

_TRIES = 3


def delete_file(ctx: Context, file_id: UUID, revisions: Container[str] | None = None) -> None:
    """Delete a file's object, and leave a tombstone.

    In a versioned bucket the versions stay behind a delete marker. If the file waits for its bytes, the parts that have
    come are thrown away.

    S3 comes first, with no transaction open. If S3 doesn't answer, nothing has changed. If the database doesn't answer
    afterwards, the notification of the deletion still records it, and deleting again does no harm.

    S3 is asked, too, about a file that is taken to be deleted already: a restore whose answer was lost may not be recorded yet,
    and would be done after the deletion otherwise.

    Raises:
        NotFound: there is no such file for this caller, or it was deleted already.
        PreconditionFailed: the file is at none of these ``revisions``.
        StoreUnavailable, DatabaseUnavailable: see above.
    """
    if unsure := look_for_changes(ctx, [file_id], "deleted"):
        raise unsure[file_id]
    with ctx.transaction() as tx:
        file = get_file(tx, file_id)
        check_revision(file, revisions)
        note(tx, "delete", [file_id])
    _delete(ctx, file, only_this=revisions is not None)


def look_for_changes(ctx: Context, file_ids: Sequence[UUID], state: FileState) -> dict[UUID, StoreUnavailable]:
    """Record what S3 holds of the files that the catalogue takes to be in a state. Returns those of which S3 doesn't say it."""
    with ctx.transaction() as tx:
        found = files.find_files(tx.session, tx.scope, file_ids).values()
    doubtful = [file for file in found if file.state == state]
    try:
        heal(ctx, [file.location for file in doubtful])
    except StoreUnavailable as error:
        return {file.id: error for file in doubtful}
    return {}


def delete_found(ctx: Context, file_id: UUID, rank: str | None = None) -> None:
    """Delete a file for Landfall itself, not for a caller. A file that is gone already is no error.

    ``rank``: only if the file's current version still has it.

    Raises:
        PreconditionFailed: ``rank`` is given, and S3 holds another object by now.
    """
    with ctx.transaction() as tx:
        file = files.find_file(tx.session, EVERYONE, file_id)
        is_there = file is not None and file.state != "deleted" and rank in (None, file.rank)
        note(tx, "delete", [file_id] if is_there else [])
    if file is not None and is_there:
        _delete(ctx, file, only_this=rank is not None)


def record_deletions(tx: Transaction, file_ids: Sequence[UUID], changes: Sequence[ObjectChange]) -> dict[UUID, File]:
    """Record what S3 answered to the deletion of these files; returns them as they are then."""
    lock_files(tx.session, file_ids, {(change.bucket, change.key) for change in changes})
    record_changes(tx.session, changes, tx.now)
    files.mark_deleted(tx.session, file_ids, tx.now)
    uploads.give_up_uploads(tx.session, file_ids)
    return files.find_files(tx.session, EVERYONE, file_ids)


def _delete(ctx: Context, file: File, only_this: bool) -> None:
    """Delete a file's object, and record it. ``only_this``: only if S3 still holds the object that the catalogue knows."""
    abort_parts(ctx, file)
    for _ in range(_TRIES):
        deletion = _delete_object(ctx, file, only_this)
        changes = [observe_deletion(*file.location, file.current, deletion)] if deletion else []
        recorded = ctx.in_transaction(partial(record_deletions, file_ids=[file.id], changes=changes))
        by_now = recorded.get(file.id)
        if by_now is None or by_now.state == "deleted" or (deletion and by_now.key == file.key):
            return
        if deletion is None and (by_now.key, by_now.etag) == (file.key, file.etag):
            _record_what_is_there(ctx, file)
        with ctx.transaction() as tx:
            file = files.find_file(tx.session, EVERYONE, file.id) or by_now
    raise Conflict(f"The file {file.id} was changed again and again while it was being deleted; try again.")


def _record_what_is_there(ctx: Context, file: File) -> None:
    """Record what S3 holds in place of the version that the catalogue knows, before its event comes."""
    with ctx.transaction() as tx:
        known = current_at(tx.session, *file.location)
    record_if_there(ctx, file.id, file.location, known)


def _delete_object(ctx: Context, file: File, only_this: bool) -> Deletion | None:
    """Have S3 delete the object; returns its answer, or None if it holds another object by now.

    Raises:
        PreconditionFailed: S3 holds another object by now, and ``only_this`` is set.
    """
    if file.state != "stored":
        return ctx.store.deleter.delete(*file.location)
    try:
        return ctx.store.deleter.delete_if(*file.location, file.etag or "")
    except NotFound:  # deleted already: its event records that, or this answer does
        return ctx.store.deleter.delete(*file.location)
    except PreconditionFailed:
        if only_this:
            raise
    return None
