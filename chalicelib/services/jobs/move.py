"""Moving a file to another key: a copy, then one transaction in which the file takes its new key, then a deletion at the old one.

- Before the transaction the file is where it was; a placeholder holds the new key.
- After it the file is at its new key, with its id, its time of creation and its history (`FileLocation`). The old key has a
  tombstone (`File.moved_to`), because every key that ever held an object has a row.
- The old object is deleted only if it is still the one that was copied. An object that somebody puts there meanwhile stays.
"""

from contextlib import suppress
from dataclasses import replace
from uuid import UUID

from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.commands import JobResult, Move
from chalicelib.catalog.files import File
from chalicelib.catalog.keys import check_key, display_name
from chalicelib.catalog.objects import Copied, Deletion, Location, ObjectHead
from chalicelib.catalog.observations import observe_deletion, observe_head, observe_removal
from chalicelib.catalog.progress import Left, MoveProgress
from chalicelib.db import moves
from chalicelib.db.files import find_file
from chalicelib.db.history import current_at
from chalicelib.db.jobs import find_moving
from chalicelib.db.locks import lock_keys
from chalicelib.db.models import Job
from chalicelib.db.recording import record_changes
from chalicelib.db.scope import EVERYONE
from chalicelib.errors import (
    Conflict,
    MalformedNotification,
    NotFound,
    PreconditionFailed,
    Refused,
    StoreUnavailable,
    Unprocessable,
)
from chalicelib.services.accounts.confinement import check_new_key
from chalicelib.services.context import Transaction
from chalicelib.services.files.reading import get_file, get_stored_file
from chalicelib.services.jobs.copying import copy_over, drop_parts, head, is_unnoted_copy, note_copy
from chalicelib.services.jobs.queue import Work, create_job

_TRIES = 3
MoveWork = Work[Move, MoveProgress]


def begin_move(tx: Transaction, file_id: UUID, key: str, name: str | None) -> tuple[Job, File]:
    """Create the job that gives a file another key in its bucket; returns the job and the file.

    The file gets another name, too, if ``name`` is given, or if the file is named after its old key.

    Raises:
        NotFound: there is no such file for this caller. Unprocessable: the new key is not allowed.
        Conflict: its bytes haven't arrived yet, or there is something at the new key.
        Forbidden: see `check_new_key`.
    """
    file = get_stored_file(tx, file_id)
    _check_new_key(tx, key)
    with tx.as_landfall():  # an operator may be moving it
        is_moving = bool(find_moving(tx.session, [file_id]))
    if is_moving:
        raise Conflict("The file is being moved already.")
    if key == file.key:
        raise Conflict("The file is there already.")
    scope = tx.scope
    with tx.as_landfall():  # anybody's file may be at the new key, and the placeholder belongs to nobody
        lock_keys(tx.session, [file.location, (file.bucket, key)])
        placeholder = moves.hold_key(tx.session, scope, file, key, name or display_name(key), tx.now)
    return create_job(tx, Move(file_id, key, name, placeholder), [file_id]), file


def _check_new_key(tx: Transaction, key: str) -> None:
    try:
        check_key(key)
    except MalformedNotification as error:
        raise Unprocessable(str(error)) from None
    check_new_key(tx.principal, key)
    if {".", ".."} & set(key.split("/")):
        raise Unprocessable("A part of a key that is . or .. means other places to other programs.")


def is_tidying(progress: MoveProgress) -> bool:
    """Whether the file has its new key, so that only the object at the old one is left to delete."""
    return progress.left is not None


def move_step(work: MoveWork) -> bool:
    """Copy, take the new key, delete at the old one: each only if it isn't done yet.

    Raises:
        NotFound: the file is gone. Conflict: it was changed again and again meanwhile; it keeps its old key.
    """
    if work.progress.left is None:
        work.progress.left = _take_new_key(work)
    work.may_stop = False
    if deletion := _delete_left(work, work.progress.left):
        work.ctx.in_transaction(lambda tx: record_changes(tx.session, [deletion], tx.now))
    work.result = JobResult(work.command.file_id)
    return True


def _take_new_key(work: MoveWork) -> Left:
    """Copy the current version, then give the row its new key, unless another version came meanwhile; returns what is left."""
    ctx, command = work.ctx, work.command
    for _ in range(_TRIES):
        with ctx.transaction() as tx:
            file = get_file(tx, command.file_id)
            with tx.as_landfall():  # the placeholder is not the caller's
                before = current_at(tx.session, file.bucket, command.key)
        try:
            made = _copy(work, file)
        except PreconditionFailed:
            continue  # another object has come to the old key or to the new one
        observed = observe_head(file.bucket, command.key, made, ctx.now, before)
        ours = {None, *(copied.version_id for copied in work.progress.copies)}
        with ctx.transaction() as tx, tx.as_landfall():
            moved = moves.exchange(tx.session, command, file, ours, observed, ctx.clock)
            if moved is not None:
                # Noted in the same transaction, so that whichever process goes on deletes this object and no other.
                left = Left.by(moved)
                work.save_with(tx, replace(work.progress, left=left))
                return left
    raise Conflict("The file was changed again and again while it was being moved.")


def _copy(work: MoveWork, file: File) -> ObjectHead:
    """Have S3 copy the object to the new key, which may hold an earlier copy of this job, and note the copy.

    Raises:
        Conflict: S3 holds another object at the new key. The catalogue may not know of it yet.
        PreconditionFailed: something came to the new key, or to the old one, at this moment.
    """
    progress, location = work.progress, Location(file.bucket, work.command.key)
    there = head(work.ctx, location)
    if there is not None:
        made = Copied(there.version_id, there.etag)
        if is_unnoted_copy(there, progress.source, progress):
            note_copy(work, made)  # an earlier process came this far
        if made not in progress.copies:
            raise Conflict(f"There is something at {location.key} already.")
        if progress.source == file.source:
            return there
    progress.source = file.source
    work.save()
    return copy_over(work, file.source, location, there.etag if there else "")


def _delete_left(work: MoveWork, left: Left) -> ObjectChange | None:
    """Delete the object at the old key, if it is still the one that was copied; returns what S3 did."""
    store = work.ctx.store
    with suppress(NotFound, PreconditionFailed):
        # If the same bytes were put again, as another version, that version belongs to somebody else.
        if store.head(left.bucket, left.key).version_id == left.version_id:
            deletion = store.deleter.delete_if(left.bucket, left.key, left.etag or "")
            return observe_deletion(left.bucket, left.key, left.current, deletion)
    return None


def undo_move(work: MoveWork) -> None:
    """Give the new key up: delete the copies that were made there, and the placeholder if nothing else has come to the key.

    If S3 doesn't answer, a copy stays, and belongs to nobody. If S3 keeps it (Object Lock), a delete marker hides it.
    """
    drop_parts(work)
    with work.ctx.transaction() as tx, tx.as_landfall():
        held = find_file(tx.session, EVERYONE, work.command.placeholder)
    if held is None:
        return
    removed: list[ObjectChange] = []
    hidden: list[Deletion] = []
    for copied in [*work.progress.copies, *_unnoted_copies(work, held.location)]:
        with suppress(NotFound, PreconditionFailed, StoreUnavailable):
            if copied.version_id:
                with suppress(Refused):
                    deletion = work.ctx.store.deleter.delete(*held.location, copied.version_id)
                    removed.append(observe_removal(*held.location, copied.version_id, "", deletion))
                    continue
            hidden.append(work.ctx.store.deleter.delete_if(*held.location, copied.etag))
    with work.ctx.transaction() as tx, tx.as_landfall():
        lock_keys(tx.session, [held.location])
        moves.drop_placeholder(tx.session, held.id)
        # Where nothing is known of the key yet, the events of the copy and of its marker tell it all.
        before = current_at(tx.session, *held.location)
        removed += [observe_deletion(*held.location, before, one) for one in hidden if before and one.is_marker]
        record_changes(tx.session, removed, tx.now)


def _unnoted_copies(work: MoveWork, location: Location) -> list[Copied]:
    """The copy that an earlier process has made, but did not live to note, if there is one."""
    with suppress(StoreUnavailable):
        there = head(work.ctx, location)
        if there is not None and is_unnoted_copy(there, work.progress.source, work.progress):
            copied = Copied(there.version_id, there.etag)
            return [] if copied in work.progress.copies else [copied]
    return []
