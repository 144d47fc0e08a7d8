"""Deleting and restoring many files at once: each has an outcome of its own, whatever becomes of the others."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.files import File
from chalicelib.catalog.objects import DeleteMarker, Deletion, HiddenObject
from chalicelib.catalog.observations import observe_deletion, observe_removal
from chalicelib.db import files
from chalicelib.db.engine import savepoint
from chalicelib.db.history import hidden_objects
from chalicelib.db.jobs import find_moving
from chalicelib.db.locks import lock_files
from chalicelib.db.recording import record_changes
from chalicelib.db.scope import EVERYONE
from chalicelib.errors import AgainstPolicy, Conflict, LandfallError, NotFound, OverQuota, StoreUnavailable
from chalicelib.services.accounts.policies import check_version, end_restores, reserve_restore
from chalicelib.services.accounts.trail import note
from chalicelib.services.context import Context, Transaction
from chalicelib.services.files.claims import claim_files, release_files
from chalicelib.services.removal.deletion import delete_file, look_for_changes, record_deletions
from chalicelib.services.uploads.reservations import abort_parts

_MAX_AT_ONCE = 1000
_READERS = 8
# S3's error codes, when it deletes many objects, for one that has been replaced, is gone, or is being written.
_CHANGED = frozenset({"PreconditionFailed", "NoSuchKey", "ConditionalRequestConflict"})

# What S3 answered to one deletion: what it did, its error code, or that it did not answer.
_Answer = Deletion | str | LandfallError
# Why it didn't work for each file; None: it worked.
_Errors = dict[UUID, LandfallError | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: ``error`` is None if it worked."""

    file_id: UUID
    error: LandfallError | None = None


def delete_files(ctx: Context, file_ids: Sequence[UUID]) -> list[Outcome]:
    """Delete files as `deletion.delete_file` does; returns what became of each, in their order.

    Files that are being moved, or that have changed meanwhile, are deleted one by one.
    """
    unsure = look_for_changes(ctx, file_ids, "deleted")
    with ctx.transaction() as tx:
        found = files.find_files(tx.session, tx.scope, file_ids)
        with tx.as_landfall():  # an operator may be moving one
            singly = find_moving(tx.session, found)
        errors: _Errors = {file_id: _why_absent(file_id, found.get(file_id)) for file_id in file_ids} | unsure
        present = [found[file_id] for file_id, error in errors.items() if error is None]
        note(tx, "delete", [file.id for file in present])
    for file in present:
        errors[file.id] = _try(partial(abort_parts, ctx, file))  # an error concerns this file only
    together = [file for file in present if errors[file.id] is None and file.id not in singly]
    for bucket, group in _by_bucket(together):
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


def restore_files(ctx: Context, file_ids: Sequence[UUID]) -> list[Outcome]:
    """Restore deleted files, as they were, by removing their delete markers; returns what became of each.

    A file that is there already is left as it is. S3 is asked whether it is: a deletion whose answer was lost may not be recorded
    yet, and would be done after the restore otherwise.
    """
    unsure = look_for_changes(ctx, file_ids, "stored")
    wanted = [file_id for file_id in file_ids if file_id not in unsure]
    with ctx.transaction() as tx:
        found = files.find_files(tx.session, tx.scope, wanted)
        claimed = claim_files(tx, found)
        markers, errors = _reserve_all(tx, found, claimed, wanted)
        note(tx, "restore", list(markers))
    try:
        for bucket, group in _by_bucket(found[file_id] for file_id in markers):
            errors |= _restore_together(ctx, bucket, group, markers)
    finally:
        with ctx.transaction() as tx:
            release_files(tx, claimed)
            end_restores(tx, markers.keys())  # only these: a job may have reserved bytes for one of the others
    errors |= unsure
    return [Outcome(file_id, errors[file_id]) for file_id in file_ids]


def _delete_together(ctx: Context, bucket: str, group: Sequence[File]) -> tuple[set[UUID], _Errors]:
    """Delete files of one bucket. Returns those that have moved or changed meanwhile, and what became of the rest."""
    etags = [(file.etag or "") if file.state == "stored" else "" for file in group]
    answers = _delete_in_batches(ctx, bucket, [(file.key, None) for file in group], etags)
    deleted = [(file, answer) for file, answer in zip(group, answers, strict=True) if isinstance(answer, Deletion)]
    changes = [observe_deletion(*file.location, file.current, deletion) for file, deletion in deleted]
    file_ids = [file.id for file, _ in deleted]
    by_now = ctx.in_transaction(partial(record_deletions, file_ids=file_ids, changes=changes))
    moved = {file.id for file in group if file.id in by_now and _is_elsewhere(file, by_now[file.id])}
    changed = moved | {file.id for file, answer in zip(group, answers, strict=True) if answer in _CHANGED}
    errors = {file.id: _error(answer) for file, answer in zip(group, answers, strict=True)}
    return changed, {file_id: error for file_id, error in errors.items() if file_id not in changed}


def _is_elsewhere(file: File, by_now: File) -> bool:
    return by_now.state != "deleted" and by_now.key != file.key


def _restore_together(
    ctx: Context, bucket: str, group: Sequence[File], markers: Mapping[UUID, list[DeleteMarker]]
) -> _Errors:
    """Remove the delete markers of files of one bucket; returns what became of each."""
    errors: _Errors = {file.id: None for file in group}
    hidden = [(file, marker) for file in group for marker in markers[file.id]]
    names = [(file.key, marker.version_id or "null") for file, marker in hidden]
    removed = []
    for (file, marker), answer in zip(hidden, _delete_in_batches(ctx, bucket, names), strict=True):
        if isinstance(answer, Deletion):
            removed.append(observe_removal(*file.location, marker.version_id, marker.put_rank, answer))
        else:
            errors[file.id] = _error(answer)
    ctx.in_transaction(partial(_record_restored, file_ids=list(errors), changes=removed))
    back = [file_id for file_id, error in errors.items() if error is None]
    return errors | _why_still_hidden(ctx, back)


def _record_restored(tx: Transaction, file_ids: Sequence[UUID], changes: Sequence[ObjectChange]) -> None:
    lock_files(tx.session, file_ids, {(change.bucket, change.key) for change in changes})
    record_changes(tx.session, changes, tx.now)
    files.mark_restored(tx.session, file_ids)


def _why_absent(file_id: UUID, file: File | None) -> LandfallError | None:
    if file is None:
        return NotFound(f"There is no file {file_id}.")
    if file.state == "deleted":
        return NotFound(f"The file {file_id} is deleted since {file.updated_at.isoformat()}.")
    return None


def _reserve_all(
    tx: Transaction, found: Mapping[UUID, File], claimed: set[UUID], file_ids: Sequence[UUID]
) -> tuple[dict[UUID, list[DeleteMarker]], _Errors]:
    """Reserve the bytes of deleted files. Returns the delete markers above the newest object of each, and what went wrong."""
    deleted = [file.location for file in found.values() if file.state == "deleted"]
    hidden = hidden_objects(tx.session, deleted)
    markers: dict[UUID, list[DeleteMarker]] = {}
    errors: _Errors = {}
    for file_id in file_ids:
        file = found.get(file_id)
        try:
            restorable = _restorable(file_id, file, file_id in claimed)
            if restorable is not None:
                there = _require_markers(hidden.get(restorable.location))
                check_version(tx, restorable, there.version)
                with savepoint(tx.session):  # a reservation that exceeds a quota is rolled back
                    reserve_restore(tx, restorable, there.version.size or 0)
                markers[file_id] = there.markers
            errors[file_id] = None
        except (NotFound, Conflict, AgainstPolicy, OverQuota) as error:
            errors[file_id] = error
    return markers, errors


def _restorable(file_id: UUID, file: File | None, is_claimed: bool) -> File | None:
    """The file, if it is deleted; None if it is there already."""
    if file is None:
        raise NotFound(f"There is no file {file_id}.")
    if not is_claimed:
        raise Conflict("The file is being restored, or permanently removed, at this moment.")
    if file.state == "pending":
        raise Conflict("The file's bytes have not arrived yet; there is nothing to restore.")
    return file if file.state == "deleted" else None


def _require_markers(hidden: HiddenObject | None) -> HiddenObject:
    if hidden is None or not hidden.markers:
        raise Conflict("Nothing is left of the file that could be restored: S3 holds no version of it.")
    return hidden


def _why_still_hidden(ctx: Context, file_ids: Sequence[UUID]) -> _Errors:
    """Why files are still hidden although their known delete markers are removed. Files that are back are left out.

    A file that another delete marker hides is recorded as deleted, whether or not the event of that marker is on its
    way.
    """
    with ctx.transaction() as tx:
        found = list(files.find_files(tx.session, EVERYONE, file_ids).values())
    with ThreadPoolExecutor(_READERS) as pool:
        seen = list(zip(found, pool.map(partial(_hiding_marker, ctx), found), strict=True))
    hidden = [(file, Deletion(marker, True, ctx.now)) for file, marker in seen if isinstance(marker, str)]
    changes = [
        observe_deletion(*file.location, file.current, deletion) for file, deletion in hidden if file.state == "stored"
    ]
    ctx.in_transaction(lambda tx: record_changes(tx.session, changes, tx.now))
    again = Conflict("Another client has deleted it once more; restore it again if that is to be undone, too.")
    errors: _Errors = {file.id: error for file, error in seen if isinstance(error, LandfallError)}
    return errors | {file.id: again for file, _ in hidden}


def _hiding_marker(ctx: Context, file: File) -> str | LandfallError | None:
    try:
        return ctx.store.hiding_marker(*file.location)
    except LandfallError as error:
        return error


def _try(action: partial[None]) -> LandfallError | None:
    try:
        action()
    except LandfallError as error:
        return error
    return None


def _error(answer: _Answer) -> LandfallError | None:
    if isinstance(answer, str):
        return StoreUnavailable(f"The object store refused: {answer}.")
    return answer if isinstance(answer, LandfallError) else None


def _by_bucket(found: Iterable[File]) -> Iterable[tuple[str, list[File]]]:
    groups: dict[str, list[File]] = defaultdict(list)
    for file in found:
        groups[file.bucket].append(file)
    return groups.items()


def _delete_in_batches(
    ctx: Context, bucket: str, names: Sequence[tuple[str, str | None]], etags: Sequence[str] = ()
) -> list[_Answer]:
    """Delete in batches of what S3 takes at once; a batch that S3 doesn't answer fails alone."""
    answers: list[_Answer] = []
    for start in range(0, len(names), _MAX_AT_ONCE):
        batch = names[start : start + _MAX_AT_ONCE]
        try:
            answers += ctx.store.deleter.delete_many(bucket, batch, etags[start : start + _MAX_AT_ONCE])
        except LandfallError as error:
            answers += [error] * len(batch)
    return answers
