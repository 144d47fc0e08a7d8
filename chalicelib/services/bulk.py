"""Deleting and bringing back many files at once: one answer for each, whatever becomes of the others."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.objects import Deletion
from chalicelib.catalog.observations import observe_removal
from chalicelib.db import file_history, file_queries
from chalicelib.db.file_queries import FileDocument
from chalicelib.db.locks import lock_files
from chalicelib.db.models import File
from chalicelib.db.recording import record_changes
from chalicelib.errors import AgainstPolicy, Conflict, LandfallError, NotFound, OverQuota, StoreUnavailable
from chalicelib.services import Transaction, in_transaction
from chalicelib.services.claims import claim_files, release_files
from chalicelib.services.files import delete_file, observe_deleted
from chalicelib.services.moving import moving_files
from chalicelib.services.pending import abort_parts, check_version, end_restores, give_up_uploads, reserve_restore
from chalicelib.services.principals import Principal
from chalicelib.settings import Settings
from chalicelib.store.client import CHANGED, ObjectStore

_MOST_AT_ONCE = 1000
_READERS = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: ``error`` is None if it worked."""

    file_id: UUID
    error: LandfallError | None = None


def delete_files(
    transaction: Transaction, store: ObjectStore, principal: Principal, file_ids: Sequence[UUID], now: datetime
) -> list[Outcome]:
    """Delete files as `files.delete_file` does; says of each, in their order, what became of it.

    Those that are being moved, or turn out to be others by then, are deleted one by one.
    """
    files, outcomes = _present(transaction, principal, file_ids)
    with transaction() as session:
        singly = moving_files(session, files)
    for file_id, file in list(files.items()):
        try:
            if file["upload"]:
                abort_parts(store, file)
        except LandfallError as error:  # its own fault alone
            outcomes[file_id] = error
            del files[file_id]
    for bucket, group in _by_bucket(file for file_id, file in files.items() if file_id not in singly):
        etags = [(file["etag"] or "") if file["state"] == "stored" else "" for file in group]
        answers = _carefully(store, bucket, [(file["key"], None) for file in group], etags)
        deleted = [(file, answer) for file, answer in zip(group, answers, strict=True) if isinstance(answer, Deletion)]
        changes = [observe_deleted(file, deletion) for file, deletion in deleted]
        ids = [UUID(file["id"]) for file, _ in deleted]
        by_now = in_transaction(transaction, partial(_record_deletions, ids=ids, changes=changes, now=now))
        keys = {file["id"]: file["key"] for file in by_now if file["state"] != "deleted"}
        for file, answer in zip(group, answers, strict=True):
            file_id = UUID(file["id"])
            if answer in CHANGED or keys.get(file["id"], file["key"]) != file["key"]:
                singly.add(file_id)
            else:
                outcomes[file_id] = answer if isinstance(answer, LandfallError) else _refusal(answer)
    for file_id in singly & files.keys():
        try:
            delete_file(transaction, store, principal, file_id, now)
            outcomes[file_id] = None
        except LandfallError as error:
            outcomes[file_id] = error
    return [Outcome(file_id, outcomes[file_id]) for file_id in file_ids]


def restore_files(
    transaction: Transaction,
    store: ObjectStore,
    options: Settings,
    principal: Principal,
    file_ids: Sequence[UUID],
    now: datetime,
) -> list[Outcome]:
    """Bring deleted files back, as they were, by removing their delete markers; says of each what became of it.

    A file that is there already is left as it is.
    """
    outcomes: dict[UUID, LandfallError | None] = dict.fromkeys(file_ids)
    with transaction() as session:
        files = _visible(session, principal, file_ids)
        claimed = claim_files(session, files, now)
        markers, refused = _markers(session, options, principal, files, claimed, file_ids)
        outcomes |= refused
    try:
        for bucket, group in _by_bucket(files[file_id] for file_id in markers):
            hidden = [(file, *marker) for file in group for marker in markers[UUID(file["id"])]]
            answers = _carefully(store, bucket, [(file["key"], version_id or "null") for file, version_id, _ in hidden])
            removed = []
            for (file, version_id, rank), answer in zip(hidden, answers, strict=True):
                if isinstance(answer, Deletion):
                    removed.append(observe_removal(bucket, file["key"], version_id, rank, answer))
                else:
                    outcomes[UUID(file["id"])] = answer if isinstance(answer, LandfallError) else _refusal(answer)
            ids = [UUID(file["id"]) for file in group]
            in_transaction(transaction, partial(_record_removals, ids=ids, changes=removed, now=now))
            back = [file_id for file_id in ids if outcomes[file_id] is None]
            outcomes |= _see_whether_back(transaction, store, back, now)
    finally:
        with transaction() as session:
            release_files(session, claimed)
            end_restores(session, markers.keys())  # not what a job has reserved for one of the others
    return [Outcome(file_id, outcomes[file_id]) for file_id in file_ids]


def _record_deletions(
    session: Session, ids: Sequence[UUID], changes: Sequence[ObjectChange], now: datetime
) -> list[FileDocument]:
    lock_files(session, ids, {(change.bucket, change.key) for change in changes})
    record_changes(session, changes, now)
    waiting = update(File).where(File.id.in_(ids), File.state == "pending")
    session.execute(waiting.values(state="deleted", updated_at=now))
    give_up_uploads(session, ids)
    return file_queries.find_visible(session, ids, None)


def _record_removals(session: Session, ids: Sequence[UUID], changes: Sequence[ObjectChange], now: datetime) -> None:
    lock_files(session, ids, {(change.bucket, change.key) for change in changes})
    record_changes(session, changes, now)
    session.execute(update(File).where(File.id.in_(ids)).values(expires_at=None, restoring=None))


def _present(
    transaction: Transaction, principal: Principal, file_ids: Sequence[UUID]
) -> tuple[dict[UUID, FileDocument], dict[UUID, LandfallError | None]]:
    with transaction() as session:
        files = _visible(session, principal, file_ids)
    outcomes: dict[UUID, LandfallError | None] = {}
    for file_id in file_ids:
        file = files.get(file_id)
        if file is None:
            outcomes[file_id] = NotFound(f"There is no file {file_id}.")
        elif file["state"] == "deleted":
            outcomes[file_id] = NotFound(f"The file {file_id} is deleted since {file['updated_at']}.")
            del files[file_id]
    return files, outcomes


def _visible(session: Session, principal: Principal, file_ids: Sequence[UUID]) -> dict[UUID, FileDocument]:
    owner_id = None if principal.is_operator else principal.user_id
    return {UUID(file["id"]): file for file in file_queries.find_visible(session, file_ids, owner_id)}


def _markers(
    session: Session,
    options: Settings,
    principal: Principal,
    files: dict[UUID, FileDocument],
    claimed: set[UUID],
    file_ids: Sequence[UUID],
) -> tuple[dict[UUID, list[tuple[str, str]]], dict[UUID, LandfallError | None]]:
    """For each deleted file the version id and rank of each delete marker above its newest object; and why not, of others."""
    hidden = file_history.hidden_objects(
        session, [(file["bucket"], file["key"]) for file in files.values() if file["state"] == "deleted"]
    )
    markers: dict[UUID, list[tuple[str, str]]] = {}
    refused: dict[UUID, LandfallError | None] = {}
    for file_id in file_ids:
        file = files.get(file_id)
        try:
            if file is None:
                raise NotFound(f"There is no file {file_id}.")
            if file_id not in claimed:
                raise Conflict("The file is being restored, or removed for good, at this moment.")
            if file["state"] == "pending":
                raise Conflict("The file's bytes have not arrived yet; there is nothing to restore.")
            if file["state"] == "deleted":
                found = hidden.get((file["bucket"], file["key"]))
                if found is None or not found.markers:
                    raise Conflict("Nothing is left of the file that could be restored: S3 holds no version of it.")
                check_version(session, options, principal, file, found.version)
                with session.begin_nested():  # what has no room is not reserved
                    reserve_restore(session, options, file, found.version.size or 0)
                markers[file_id] = found.markers
        except (NotFound, Conflict, AgainstPolicy, OverQuota) as error:
            refused[file_id] = error
    return markers, refused


def _see_whether_back(
    transaction: Transaction, store: ObjectStore, file_ids: Sequence[UUID], now: datetime
) -> dict[UUID, LandfallError | None]:
    """Why each of these files, whose known delete markers are removed, isn't back; None if it is.

    One that another marker hides is recorded as deleted, whether or not the event of that one is on its way.
    """
    with transaction() as session:
        files = file_queries.find_visible(session, file_ids, None)

    def look(file: FileDocument) -> str | LandfallError | None:
        try:
            return store.hiding_marker(file["bucket"], file["key"])
        except LandfallError as error:
            return error

    with ThreadPoolExecutor(_READERS) as pool:
        found = list(zip(files, pool.map(look, files), strict=True))
    hidden = [(file, Deletion(marker, True, now)) for file, marker in found if isinstance(marker, str)]
    changes = [observe_deleted(file, deletion) for file, deletion in hidden if file["state"] == "stored"]
    in_transaction(transaction, lambda session: record_changes(session, changes, now))
    again = Conflict("Another client has deleted it once more; restore it again if that is to be undone, too.")
    outcomes: dict[UUID, LandfallError | None] = {
        UUID(file["id"]): error for file, error in found if isinstance(error, LandfallError)
    }
    return outcomes | {UUID(file["id"]): again for file, _ in hidden}


def _refusal(answer: Deletion | str) -> LandfallError | None:
    return StoreUnavailable(f"The object store refused: {answer}.") if isinstance(answer, str) else None


def _by_bucket(files: Iterable[FileDocument]) -> Iterable[tuple[str, list[FileDocument]]]:
    groups: dict[str, list[FileDocument]] = defaultdict(list)
    for file in files:
        groups[file["bucket"]].append(file)
    return groups.items()


def _carefully(
    store: ObjectStore, bucket: str, names: Sequence[tuple[str, str | None]], etags: Sequence[str] = ()
) -> list[Deletion | str | LandfallError]:
    """Delete in batches of what S3 takes at once; a batch that S3 doesn't answer fails alone."""
    answers: list[Deletion | str | LandfallError] = []
    for start in range(0, len(names), _MOST_AT_ONCE):
        batch = names[start : start + _MOST_AT_ONCE]
        try:
            answers += store.delete_many(bucket, batch, etags[start : start + _MOST_AT_ONCE])
        except LandfallError as error:
            answers += [error] * len(batch)
    return answers
