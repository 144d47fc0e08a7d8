"""Copying, moving and restoring: S3 copies the bytes, none of them comes here.

Each is a job, begun at once, so that whatever breaks off in the middle is finished or taken back by the clock. A move is a copy,
then one transaction in which the file takes its new place, then a deletion at the old one:

- Before the transaction the file is where it was; a placeholder holds the new key.
- After it the file is at its new place, with its id, its time of creation and its history (`FilePlace`). The old key has a
  tombstone of its own (`File.moved_to`), as every key that ever held an object has a row.
- The old object is deleted only if it is still the one that was copied: what somebody puts there meanwhile stays.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any, TypeGuard
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.keys import check_key, display_name
from chalicelib.catalog.objects import ObjectHead
from chalicelib.catalog.observations import observe_head, observe_removal
from chalicelib.db.file_history import current_at, find_version, hidden_objects
from chalicelib.db.file_queries import FileDocument, find_file
from chalicelib.db.locks import lock_files, lock_keys
from chalicelib.db.models import File, FilePlace, Job
from chalicelib.db.recording import record_changes
from chalicelib.errors import (
    Conflict,
    Forbidden,
    MalformedNotification,
    NotFound,
    PreconditionFailed,
    StoreUnavailable,
    Unprocessable,
)
from chalicelib.ids import uuid7
from chalicelib.services import in_transaction
from chalicelib.services.arrivals import record_if_there
from chalicelib.services.claims import CLAIM, claim_files, release_files
from chalicelib.services.files import (
    FileChanges,
    observe_deleted,
    present_file,
    visible_file,
)
from chalicelib.services.jobs import Work, create_job, note_progress
from chalicelib.services.pending import (
    Announcement,
    add_pending,
    check_version,
    end_restores,
    forget,
    new_place,
    reserve_restore,
)
from chalicelib.services.principals import Principal
from chalicelib.settings import Settings
from chalicelib.store.copying import Copied, Over, Source

_TRIES = 3


def begin_copy(
    session: Session,
    options: Settings,
    principal: Principal,
    file_id: UUID,
    changes: FileChanges,
    now: datetime,
) -> tuple[UUID, Job]:
    """A new file of the caller's that is to hold the same bytes, and the job that copies them.

    Name, metadata and tags are those of the original, and so is the session if that file is the caller's own; ``changes`` may say
    otherwise.

    Raises:
        NotFound: there is no such file for this caller. Conflict: its bytes haven't arrived yet.
        AgainstPolicy, OverQuota: see `add_pending`.
    """
    file = _stored(session, principal, file_id)
    own = file["owner_id"] == str(principal.user_id)
    said = Announcement(
        changes.get("session_id", file["session_id"] if own else None),
        changes.get("metadata", file["metadata"]),
        changes.get("tags", file["tags"]),
    )
    name = changes.get("name", file["name"])
    place = new_place(options.bucket, principal, name, now, media_type=file["media_type"], size=file["size"])
    add_pending(session, options, principal, said, [place], now)
    command = {"source": _source_document(file), "file_id": str(place.file_id)}
    return place.file_id, create_job(session, principal, "copy", command, now)


def copy_step(work: Work) -> bool:
    """Have S3 copy the object, and record it.

    Raises:
        NotFound: the source, or the new file, is gone. PreconditionFailed: the source is another one by now.
    """
    file_id = UUID(work.command["file_id"])
    with work.transaction() as session:
        file = find_file(session, file_id, None)
    if file is None or file["state"] == "deleted":
        raise NotFound("The new file was deleted meanwhile.")
    if file["state"] == "pending":
        bucket, key, source = file["bucket"], file["key"], Source(**work.command["source"])
        if _head(work, bucket, key) is None:  # nobody but a process before this one puts anything there
            work.store.copier.copy(source, bucket, key, on_part=work.save, over=Over())
        record_if_there(work.transaction, work.store, file, work.clock())
    work.result = {"file_id": str(file_id)}
    return True


def undo_copy(work: Work) -> None:
    """Forget the new file, unless its object is there after all."""
    with work.transaction() as session:
        forget(session, [UUID(work.command["file_id"])])


def begin_move(
    session: Session, options: Settings, principal: Principal, file_id: UUID, key: str, name: str | None, now: datetime
) -> Job:
    """The job that gives a file another key in its bucket, and another name if it is given or was the old key's.

    Raises:
        NotFound: there is no such file for this caller. Unprocessable: no key of S3's.
        Conflict: its bytes haven't arrived yet, or there is something at the new key.
        Forbidden: a member would leave the keys that begin with its own id.
    """
    file = _stored(session, principal, file_id)
    try:
        check_key(key)
    except MalformedNotification as error:
        raise Unprocessable(str(error)) from None
    if not principal.is_operator and not key.startswith(f"{principal.user_id}/"):
        raise Forbidden(f"A member's keys begin with its own id: {principal.user_id}/.")
    if {".", ".."} & set(key.split("/")):
        raise Unprocessable("A part of a key that is . or .. means other places to other programs.")
    if moving_files(session, [file_id]):
        raise Conflict("The file is being moved already.")
    if key == file["key"]:
        raise Conflict("The file is there already.")
    lock_keys(session, [(file["bucket"], file["key"]), (file["bucket"], key)])
    placeholder = _hold(session, file, key, name or display_name(key), now)
    command = {"file_id": str(file_id), "key": key, "name": name, "placeholder": str(placeholder)}
    return create_job(session, principal, "move", command, now)


def move_step(work: Work) -> bool:
    """Copy, take the new place, delete at the old one: each only if it isn't done yet.

    Raises:
        NotFound: the file is gone. Conflict: it was changed again and again meanwhile; it is where it was.
    """
    file_id, key = UUID(work.command["file_id"]), work.command["key"]
    if "left" not in work.progress:
        _take_new_place(work, file_id, key)
    work.may_stop = False
    _leave(work, work.progress["left"])
    work.result = {"file_id": str(file_id)}
    return True


def undo_move(work: Work) -> None:
    """Give the new key up: the very copies that were made there, and the row that held it, if nothing else has come to it. If S3
    doesn't answer, a copy stays, nobody's."""
    with work.transaction() as session:
        held = find_file(session, UUID(work.command["placeholder"]), None)
    if held is None:
        return
    bucket, key = held["bucket"], held["key"]
    removed: list[ObjectChange] = []
    for copied in [*_copies(work), *_unnoted_copy(work, bucket, key)]:
        with suppress(NotFound, PreconditionFailed, StoreUnavailable):
            if copied.version_id:
                deletion = work.store.delete(bucket, key, copied.version_id)
                removed.append(observe_removal(bucket, key, copied.version_id, "", deletion))
            else:
                work.store.delete_if(bucket, key, copied.etag)
    with work.transaction() as session:
        lock_keys(session, [(bucket, key)])
        # An object that has come there meanwhile is somebody's, and its row stays.
        session.execute(delete(File).where(File.id == UUID(held["id"]), File.state == "pending"))
        record_changes(session, removed, work.clock())


def _unnoted_copy(work: Work, bucket: str, key: str) -> list[Copied]:
    """The copy that was made by a process that died before it could say so, if there is one."""
    with suppress(StoreUnavailable):
        there = _head(work, bucket, key)
        if _is_unnoted(there, work, work.progress.get("source")):
            return [copied for copied in [Copied(there.version_id, there.etag)] if copied not in _copies(work)]
    return []


def _is_unnoted(there: ObjectHead | None, work: Work, begun: Mapping[str, Any] | None) -> TypeGuard[ObjectHead]:
    """Whether an object is the copy of ``begun`` that a process before this one has made, and died before it could say so."""
    if there is None or begun is None or there.size != begun["size"]:
        return False
    return there.etag in (begun["etag"], work.progress.get("foretold"))


def _foretell(work: Work) -> Callable[[str], None]:
    """Notes the ETag that a copy is going to have."""

    def foretell(etag: str) -> None:
        work.progress["foretold"] = etag
        work.save()

    return foretell


def begin_restore(
    session: Session, options: Settings, principal: Principal, file_id: UUID, version_id: str, now: datetime
) -> Job:
    """The job that makes an earlier version of a file its newest one again; the versions between stay, too.

    Raises:
        NotFound: there is no such file or version for this caller. OverQuota: there is no room for it.
        AgainstPolicy: see `check_version`.
    """
    file = visible_file(session, principal, file_id)
    version = find_version(session, file, version_id)
    if version is None:
        raise NotFound(f"The file {file_id} has no such version, or it holds no bytes.")
    check_version(session, options, principal, file, version)
    reserve_restore(session, options, file, (version.size or 0) - (file["size"] or 0))
    source = {"bucket": version.bucket, "key": version.key, "etag": version.etag or "", "size": version.size or 0}
    # By its name even if it has none: S3 takes a missing one for the current version.
    command = {
        "file_id": str(file_id),
        "source": source | {"version_id": version.version_id or "null"},
        # What is put there later, while the job waits, is newer than this wish.
        "over": (file["etag"] or None) if file["state"] == "stored" else "",
    }
    return create_job(session, principal, "restore", command, now)


def restore_step(work: Work) -> bool:
    """Have S3 copy the version over the file's key, and record it.

    Raises:
        Conflict: the file is being removed for good at this moment, or was put or deleted again meanwhile.
    """
    file_id, now = UUID(work.command["file_id"]), work.clock()
    with work.transaction() as session:
        file = visible_file(session, work.principal, file_id)
        before = current_at(session, file["bucket"], file["key"])
        claimed = work.progress.get("claimed")
        if not claim_files(session, [file_id], now, _moment(claimed)):
            raise Conflict("The file is being restored, or removed for good, at this moment.")
        # In this transaction: should this process die, the one after it takes the claim over.
        note_progress(session, work, {"claimed": (now + CLAIM).isoformat()})
    try:
        head = _copy_over(work, file)
        observed = observe_head(file["bucket"], file["key"], head, now, before)
        in_transaction(work.transaction, partial(_record_restored, file_id=file_id, observed=observed, now=now))
    except PreconditionFailed:
        raise Conflict("The file was changed meanwhile; it is as it was changed.") from None
    finally:
        with work.transaction() as session:
            release_files(session, [file_id])
    work.result = {"file_id": str(file_id)}
    return True


def _record_restored(session: Session, file_id: UUID, observed: ObjectChange, now: datetime) -> None:
    lock_files(session, [file_id], [(observed.bucket, observed.key)])
    record_changes(session, [observed], now)
    session.execute(update(File).where(File.id == file_id).values(expires_at=None, restoring=None))


def undo_restore(work: Work) -> None:
    """Free what was reserved for it."""
    with work.transaction() as session:
        end_restores(session, [UUID(work.command["file_id"])])


def _copy_over(work: Work, file: FileDocument) -> ObjectHead:
    """Have S3 copy the version over the object that was there when the caller asked for it, once.

    Raises:
        PreconditionFailed: another one is there by now.
    """
    bucket, key, source = file["bucket"], file["key"], Source(**work.command["source"])
    there = _head(work, bucket, key)
    if work.progress.get("copying") and _is_unnoted(there, work, work.command["source"]):
        return there  # a process before this one came as far
    work.progress["copying"] = True
    work.save()
    over = work.command.get("over")
    if over is None:  # an event need not name an ETag
        over = there.etag if there else ""
    copied = work.store.copier.copy(source, bucket, key, on_part=work.save, foretell=_foretell(work), over=Over(over))
    return _copied(work, bucket, key, copied)


def _stored(session: Session, principal: Principal, file_id: UUID) -> FileDocument:
    file = present_file(visible_file(session, principal, file_id))
    if file["state"] == "pending":
        raise Conflict("The file's bytes have not arrived yet.")
    return file


def _source_document(file: FileDocument) -> dict[str, Any]:
    return {name: file[name] for name in ("bucket", "key", "version_id", "etag", "size")}


def moving_files(session: Session, file_ids: Collection[UUID]) -> set[UUID]:
    """Those of these files that are being moved."""
    moved = Job.command["file_id"].astext
    moves = select(moved).where(Job.kind == "move", Job.state.in_(("queued", "running")))
    return {UUID(found) for found in session.scalars(moves.where(moved.in_([str(file_id) for file_id in file_ids])))}


def _hold(session: Session, file: FileDocument, key: str, name: str, now: datetime) -> UUID:
    """Hold the new key with a row, so that nobody else takes it. A tombstone with nothing to restore gives way, and so does one
    that this very file left there."""
    there = session.execute(select(File).where(File.key == key, File.bucket == file["bucket"])).scalar_one_or_none()
    if there is not None:
        if there.state != "deleted":
            raise Conflict(f"There is something at {key} already.")
        if str(there.moved_to) != file["id"] and hidden_objects(session, [(there.bucket, there.key)]):
            raise Conflict(f"There is something at {key} already, in the trash.")
        session.execute(delete(File).where(File.id == there.id))
    placeholder = uuid7(now)
    values = {
        "bucket": file["bucket"],
        "key": key,
        "name": name,
        "state": "pending",
        "created_at": now,
        "updated_at": now,
    }
    session.execute(insert(File).values(id=placeholder, **values))
    return placeholder


def _take_new_place(work: Work, file_id: UUID, key: str) -> None:
    """Copy the current version, then move the row, and note with it what is left, unless another version came meanwhile."""
    for _ in range(_TRIES):
        with work.transaction() as session:
            file = present_file(visible_file(session, work.principal, file_id))
            before = current_at(session, file["bucket"], key)
        try:
            head = _copy_to(work, file, key)
        except PreconditionFailed:
            continue  # another object at the old key, or at the new one, since we looked
        with work.transaction() as session:
            lock_keys(session, [(file["bucket"], file["key"]), (file["bucket"], key)])
            now_there = find_file(session, file_id, None, lock=True)
            if now_there is None or now_there["state"] != "stored":
                raise NotFound("The file was deleted meanwhile.")
            known = ("bucket", "key", "version_id", "etag")
            if all(now_there[name] == file[name] for name in known):
                _exchange(work, session, now_there, key)
                record_changes(session, [observe_head(file["bucket"], key, head, work.clock(), before)], work.clock())
                # In this transaction: whoever goes on deletes this object at the old key, and no other.
                note_progress(session, work, {"left": now_there})
                return
    raise Conflict("The file was changed again and again while it was being moved.")


def _copy_to(work: Work, file: FileDocument, key: str) -> ObjectHead:
    """Have S3 copy the object to a key where nothing is but an earlier copy of ours, and note which copy is ours.

    Raises:
        Conflict: S3 holds another object at the new key, of which the catalogue may not know yet.
        PreconditionFailed: something came there, or to the old key, at this moment.
    """
    bucket, source, begun = file["bucket"], _source_document(file), work.progress.get("source")
    there = _head(work, bucket, key)
    if _is_unnoted(there, work, begun):
        _note_copy(work, Copied(there.version_id, there.etag))  # a process before this one came as far
    if there is not None and Copied(there.version_id, there.etag) not in _copies(work):
        raise Conflict(f"There is something at {key} already.")
    if there is not None and begun == source:
        return there
    work.progress["source"] = source
    work.save()
    over = Over(there.etag if there else "")
    copied = work.store.copier.copy(
        Source(**source), bucket, key, on_part=work.save, foretell=_foretell(work), over=over
    )
    return _copied(work, bucket, key, copied)


def _head(work: Work, bucket: str, key: str, version_id: str | None = None) -> ObjectHead | None:
    try:
        return work.store.head(bucket, key, version_id)
    except NotFound:
        return None


def _copies(work: Work) -> list[Copied]:
    """The objects that this job has made, as far as it knows."""
    return [Copied(**copied) for copied in work.progress.get("copies", ())]


def _note_copy(work: Work, copied: Copied) -> None:
    if copied not in _copies(work):
        work.progress["copies"] = [*work.progress.get("copies", ()), asdict(copied)]
        work.save()


def _copied(work: Work, bucket: str, key: str, copied: Copied) -> ObjectHead:
    """What S3 says of a copy, after it was noted as ours."""
    _note_copy(work, copied)
    head = _head(work, bucket, key, copied.version_id or None)
    if head is None or head.etag != copied.etag:
        raise PreconditionFailed(f"What was copied to {key} is not there any more.")
    return head


def _exchange(work: Work, session: Session, file: FileDocument, key: str) -> None:
    """The file's row takes the placeholder's place, and a row that nobody owns takes the file's old one.

    Raises:
        Conflict: something else than a copy of ours came to the new key meanwhile.
    """
    command, now = work.command, work.clock()
    file_id, tombstone = UUID(file["id"]), uuid7(now)
    held = find_file(session, UUID(command["placeholder"]), None, lock=True)
    ours = {None, *(copied.version_id for copied in _copies(work))}
    if held is None or held["state"] == "deleted" or held["version_id"] not in ours:
        raise Conflict(f"There is something at {key} already.")
    session.execute(delete(File).where(File.id == UUID(held["id"])))
    left = {"version_id": file["version_id"], "etag": file["etag"], "stored_at": _moment(file["stored_at"])}
    places = {"file_id": file_id, "moved_at": now, "bucket": file["bucket"], "key": file["key"], **left}
    session.execute(insert(FilePlace).values(**places))
    name = command["name"]
    if name is None:  # as the key is called, if that was so, whatever it is called by now
        name = display_name(key) if file["name"] == display_name(file["key"]) else file["name"]
    session.execute(update(File).where(File.id == file_id).values(key=key, name=name, updated_at=now))
    kept = {name: file[name] for name in ("bucket", "key", "version_id", "rank", "size", "etag", "media_type", "state")}
    session.execute(
        insert(File).values(
            id=tombstone, name=display_name(file["key"]), moved_to=file_id, created_at=now, updated_at=now, **kept
        )
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _leave(work: Work, left: FileDocument) -> None:
    """Delete the object at the old place, if it is still the one that was copied."""
    if not left:
        return
    there = _head(work, left["bucket"], left["key"])
    if there is None or there.version_id != left["version_id"]:
        return  # with versions, the same bytes put again are somebody else's
    try:
        deletion = work.store.delete_if(left["bucket"], left["key"], left["etag"])
    except (NotFound, PreconditionFailed):
        return
    with work.transaction() as session:
        record_changes(session, [observe_deleted(left, deletion)], work.clock())
