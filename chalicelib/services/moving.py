"""Copying, moving and restoring: S3 copies the bytes, none of them comes here.

Each is a job, begun at once, so that whatever breaks off in the middle is finished or taken back by the clock. A move is a copy,
then one transaction in which the file takes its new place, then a deletion at the old one:

- Before the transaction the file is where it was; a placeholder holds the new key.
- After it the file is at its new place, with its id, its time of creation and its history (`FilePlace`). The old key has a
  tombstone of its own (`File.moved_to`), as every key that ever held an object has a row.
- The old object is deleted only if it is still the one that was copied: what somebody puts there meanwhile stays.
"""

from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from chalicelib.catalog.keys import check_key, display_name
from chalicelib.db.file_history import current_at, find_version, hidden_objects
from chalicelib.db.file_queries import FileDocument, find_file
from chalicelib.db.locks import lock_keys
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
from chalicelib.services.arrivals import record_if_there, seen
from chalicelib.services.claims import claim_files, release_files
from chalicelib.services.files import deletion_change, present_file, visible_file
from chalicelib.services.jobs import Work, create_job
from chalicelib.services.pending import Announcement, Room, add_pending, forget, new_place
from chalicelib.services.principals import Principal
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectHead
from chalicelib.store.copying import Source

_TRIES = 3


def begin_copy(
    session: Session,
    options: Settings,
    principal: Principal,
    file_id: UUID,
    name: str | None,
    said: Announcement | None,
    now: datetime,
) -> tuple[UUID, Job]:
    """A new file of the caller's that is to hold the same bytes, and the job that copies them.

    What is said of it is as of the original, unless ``said`` tells otherwise.

    Raises:
        NotFound: there is no such file for this caller. Conflict: its bytes haven't arrived yet.
        AgainstPolicy, OverQuota: see `add_pending`.
    """
    file = _stored(session, principal, file_id)
    own = file["owner_id"] == str(principal.user_id)
    said = said or Announcement(file["session_id"] if own else None, file["metadata"], file["tags"])
    place = new_place(
        options.bucket, principal, name or file["name"], now, media_type=file["media_type"], size=file["size"]
    )
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
        source = Source(**work.command["source"])
        work.store.copier.copy(source, file["bucket"], file["key"], on_part=work.save)
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
    if _is_moving(session, file_id):
        raise Conflict("The file is being moved already.")
    if key == file["key"]:
        raise Conflict("The file is there already.")
    if name is None:
        name = display_name(key) if file["name"] == display_name(file["key"]) else file["name"]
    lock_keys(session, [(file["bucket"], file["key"]), (file["bucket"], key)])
    placeholder = _hold(session, file, key, name, now)
    command = {"file_id": str(file_id), "key": key, "name": name, "placeholder": str(placeholder)}
    return create_job(session, principal, "move", command, now)


def move_step(work: Work) -> bool:
    """Copy, take the new place, delete at the old one: each only if it isn't done yet.

    Raises:
        NotFound: the file is gone. Conflict: it was changed again and again meanwhile; it is where it was.
    """
    file_id, key = UUID(work.command["file_id"]), work.command["key"]
    if "left" not in work.progress:
        work.progress["left"] = _take_new_place(work, file_id, key)
        work.may_stop = False
        work.save()
    work.may_stop = False
    _leave(work, work.progress["left"])
    work.result = {"file_id": str(file_id)}
    return True


def undo_move(work: Work) -> None:
    """Give the new key up: its row, and the very copy that was made there. If S3 doesn't answer, that one stays, nobody's."""
    copied = work.progress.get("copied")
    with work.transaction() as session:
        held = find_file(session, UUID(work.command["placeholder"]), None)
    if held is None:
        return
    if copied:
        with suppress(NotFound, PreconditionFailed, StoreUnavailable):
            if copied["version_id"]:
                work.store.delete(held["bucket"], held["key"], copied["version_id"])
            else:
                work.store.delete_if(held["bucket"], held["key"], copied["etag"])
    with work.transaction() as session:
        session.execute(delete(File).where(File.id == UUID(held["id"])))


def begin_restore(
    session: Session, options: Settings, principal: Principal, file_id: UUID, version_id: str, now: datetime
) -> Job:
    """The job that makes an earlier version of a file its newest one again; the versions between stay, too.

    Raises:
        NotFound: there is no such file or version for this caller. OverQuota: there is no room for it.
    """
    file = visible_file(session, principal, file_id)
    version = find_version(session, file, version_id)
    if version is None:
        raise NotFound(f"The file {file_id} has no such version, or it holds no bytes.")
    if file["owner_id"]:
        more = (0, (version.size or 0) - (file["size"] or 0)) if file["state"] == "stored" else (1, version.size or 0)
        Room(session, options).take(UUID(file["owner_id"]), file["session_id"], *more)
    source = {"bucket": version.bucket, "key": version.key, "etag": version.etag or "", "size": version.size or 0}
    # By its name even if it has none: S3 takes a missing one for the current version.
    command = {"file_id": str(file_id), "source": source | {"version_id": version.version_id or "null"}}
    return create_job(session, principal, "restore", command, now)


def restore_step(work: Work) -> bool:
    """Have S3 copy the version over the file's key, and record it.

    Raises:
        Conflict: the file is being removed for good at this moment, or was deleted again meanwhile.
    """
    file_id, now = UUID(work.command["file_id"]), work.clock()
    with work.transaction() as session:
        file = visible_file(session, work.principal, file_id)
        before = current_at(session, file["bucket"], file["key"])
        if not claim_files(session, [file_id], now):
            raise Conflict("The file is being restored, or removed for good, at this moment.")
    try:
        work.store.copier.copy(Source(**work.command["source"]), file["bucket"], file["key"], on_part=work.save)
        if record_if_there(work.transaction, work.store, file, now, before) is None:
            raise Conflict("The restored object was deleted again meanwhile.")
        with work.transaction() as session:
            session.execute(update(File).where(File.id == file_id).values(expires_at=None))
    finally:
        with work.transaction() as session:
            release_files(session, [file_id])
    work.result = {"file_id": str(file_id)}
    return True


def _stored(session: Session, principal: Principal, file_id: UUID) -> FileDocument:
    file = present_file(visible_file(session, principal, file_id))
    if file["state"] == "pending":
        raise Conflict("The file's bytes have not arrived yet.")
    return file


def _source_document(file: FileDocument) -> dict[str, Any]:
    return {name: file[name] for name in ("bucket", "key", "version_id", "etag", "size")}


def _source(file: FileDocument) -> Source:
    return Source(**_source_document(file))


def _is_moving(session: Session, file_id: UUID) -> bool:
    moves = select(Job.id).where(Job.kind == "move", Job.state.in_(("queued", "running")))
    return session.scalar(moves.where(Job.command["file_id"].astext == str(file_id)).limit(1)) is not None


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


def _take_new_place(work: Work, file_id: UUID, key: str) -> dict[str, Any]:
    """Copy the current version, then move the row, unless another version came meanwhile; says what was left behind."""
    for _ in range(_TRIES):
        with work.transaction() as session:
            file = present_file(visible_file(session, work.principal, file_id))
            if file["key"] == key:  # a process before this one came as far as here
                return _left_behind(session, file_id)
            before = current_at(session, file["bucket"], key)
        head = _copy_to(work, file, key)
        with work.transaction() as session:
            lock_keys(session, [(file["bucket"], file["key"]), (file["bucket"], key)])
            now_there = find_file(session, file_id, None, lock=True)
            if now_there is None or now_there["state"] != "stored":
                raise NotFound("The file was deleted meanwhile.")
            known = ("bucket", "key", "version_id", "etag")
            if all(now_there[name] == file[name] for name in known):
                _exchange(session, now_there, key, head, work.command, work.clock())
                record_changes(session, [seen(file["bucket"], key, head, work.clock(), before)], work.clock())
                return now_there
    raise Conflict("The file was changed again and again while it was being moved.")


def _copy_to(work: Work, file: FileDocument, key: str) -> ObjectHead:
    """Have S3 copy the object, and note which copy is ours.

    Raises:
        Conflict: S3 holds another object at the new key, of which the catalogue doesn't know yet.
    """
    bucket = file["bucket"]
    if "copied" not in work.progress:
        with suppress(NotFound):
            there = work.store.head(bucket, key)
            if (there.size, there.etag) != (file["size"], file["etag"]):
                raise Conflict(f"There is something at {key} already.")
    work.store.copier.copy(_source(file), bucket, key, on_part=work.save)
    head = work.store.head(bucket, key)
    work.progress["copied"] = {"version_id": head.version_id, "etag": head.etag}
    work.save()
    return head


def _exchange(session: Session, file: FileDocument, key: str, copy: ObjectHead, command: Any, now: datetime) -> None:
    """The file's row takes the placeholder's place, and a row that nobody owns takes the file's old one.

    Raises:
        Conflict: something else than our copy came to the new key meanwhile.
    """
    file_id, tombstone = UUID(file["id"]), uuid7(now)
    held = find_file(session, UUID(command["placeholder"]), None, lock=True)
    if held is None or held["state"] == "deleted" or held["version_id"] not in (None, copy.version_id):
        raise Conflict(f"There is something at {key} already.")
    session.execute(delete(File).where(File.id == UUID(held["id"])))
    places = {"file_id": file_id, "moved_at": now, "bucket": file["bucket"], "key": file["key"]}
    session.execute(insert(FilePlace).values(**places))
    session.execute(update(File).where(File.id == file_id).values(key=key, name=command["name"], updated_at=now))
    kept = {name: file[name] for name in ("bucket", "key", "version_id", "rank", "size", "etag", "media_type", "state")}
    name = display_name(file["key"])
    session.execute(
        insert(File).values(id=tombstone, name=name, moved_to=file_id, created_at=now, updated_at=now, **kept)
    )


def _left_behind(session: Session, file_id: UUID) -> dict[str, Any]:
    tombstone = session.scalar(select(File.id).where(File.moved_to == file_id).order_by(File.id.desc()).limit(1))
    return dict(find_file(session, tombstone, None) or {}) if tombstone else {}


def _leave(work: Work, left: FileDocument) -> None:
    """Delete the object at the old place, if it is still the one that was copied."""
    if not left:
        return
    try:
        deletion = work.store.delete_if(left["bucket"], left["key"], left["etag"])
    except (NotFound, PreconditionFailed):
        return
    with work.transaction() as session:
        record_changes(session, [deletion_change(left, deletion)], work.clock())
