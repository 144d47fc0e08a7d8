"""Deleting many files at once: each has an outcome of its own, whatever becomes of the others."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from chalicelib.catalog.files import File
from chalicelib.catalog.objects import Deletion
from chalicelib.catalog.observations import observe_deletion
from chalicelib.db import files
from chalicelib.db.jobs import find_moving
from chalicelib.errors import LandfallError, NotFound
from chalicelib.services.accounts.trail import note
from chalicelib.services.context import Context
from chalicelib.services.removal.batches import Errors, Outcome, by_bucket, delete_in_batches, error_in
from chalicelib.services.removal.deletion import delete_file, look_for_changes, record_deletions
from chalicelib.services.uploads.reservations import abort_parts

# S3's error codes, when it deletes many objects, for one that has been replaced, is gone, or is being written.
_CHANGED = frozenset({"PreconditionFailed", "NoSuchKey", "ConditionalRequestConflict"})


def delete_files(ctx: Context, file_ids: Sequence[UUID]) -> list[Outcome]:
    """Delete files as `deletion.delete_file` does; returns what became of each, in their order.

    Files that are being moved, or that have changed meanwhile, are deleted one by one.
    """
    unsure = look_for_changes(ctx, file_ids, "deleted")
    with ctx.transaction() as tx:
        found = files.find_files(tx.session, tx.scope, file_ids)
        with tx.as_landfall():  # an operator may be moving one
            singly = find_moving(tx.session, found)
        errors: Errors = {file_id: _why_absent(file_id, found.get(file_id)) for file_id in file_ids} | unsure
        present = [found[file_id] for file_id, error in errors.items() if error is None]
        note(tx, "delete", [file.id for file in present])
    for file in present:
        errors[file.id] = _try(partial(abort_parts, ctx, file))  # an error concerns this file only
    together = [file for file in present if errors[file.id] is None and file.id not in singly]
    for bucket, group in by_bucket(together):
        changed, refused = _delete_together(ctx, bucket, group)
        singly |= changed
        errors |= refused
    for file in present:
        if file.id in singly and errors[file.id] is None:
            errors[file.id] = _try(partial(_delete_singly, ctx, file.id))
    return [Outcome(file_id, errors[file_id]) for file_id in file_ids]


def _delete_singly(ctx: Context, file_id: UUID) -> None:
    """Delete a file that was there a moment ago. It may be gone by now: if the answer to the deletion of many was lost, S3 has
    been asked twice, and the event of the first time may be recorded already."""
    with suppress(NotFound):
        delete_file(ctx, file_id)


def _delete_together(ctx: Context, bucket: str, group: Sequence[File]) -> tuple[set[UUID], Errors]:
    """Delete files of one bucket. Returns those that have moved or changed meanwhile, and what became of the rest."""
    etags = [(file.etag or "") if file.state == "stored" else "" for file in group]
    answers = delete_in_batches(ctx, bucket, [(file.key, None) for file in group], etags)
    deleted = [(file, answer) for file, answer in zip(group, answers, strict=True) if isinstance(answer, Deletion)]
    changes = [observe_deletion(*file.location, file.current, deletion) for file, deletion in deleted]
    file_ids = [file.id for file, _ in deleted]
    by_now = ctx.in_transaction(partial(record_deletions, file_ids=file_ids, changes=changes))
    moved = {file.id for file in group if file.id in by_now and _is_elsewhere(file, by_now[file.id])}
    changed = moved | {file.id for file, answer in zip(group, answers, strict=True) if answer in _CHANGED}
    errors = {file.id: error_in(answer) for file, answer in zip(group, answers, strict=True)}
    return changed, {file_id: error for file_id, error in errors.items() if file_id not in changed}


def _is_elsewhere(file: File, by_now: File) -> bool:
    return by_now.state != "deleted" and by_now.key != file.key


def _why_absent(file_id: UUID, file: File | None) -> LandfallError | None:
    if file is None:
        return NotFound(f"There is no file {file_id}.")
    if file.state == "deleted":
        return NotFound(f"The file {file_id} is deleted since {file.updated_at.isoformat()}.")
    return None


def _try(action: partial[Any]) -> LandfallError | None:
    try:
        action()
    except LandfallError as error:
        return error
    return None
