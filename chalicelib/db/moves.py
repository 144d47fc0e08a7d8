"""What a move does to rows: it holds the new key with a placeholder, then exchanges the two."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.commands import Move
from chalicelib.catalog.files import File
from chalicelib.catalog.keys import display_name
from chalicelib.catalog.objects import Location
from chalicelib.db import models
from chalicelib.db.files import find_file
from chalicelib.db.locks import lock_keys
from chalicelib.db.recording import record_changes
from chalicelib.db.retiring import holds_anothers, retire
from chalicelib.db.scope import EVERYONE, Owner, Scope
from chalicelib.errors import Conflict, NotFound
from chalicelib.ids import uuid7


def hold_key(session: Session, scope: Scope, file: File, key: str, name: str, now: datetime) -> UUID:
    """Hold a key for a file with a placeholder; returns the placeholder's id. ``scope``: what the caller may see.

    A tombstone gives way if this file left it there, or if nothing of it can be restored. If it is neither the caller's nor
    nobody's, it stays, whatever has become of it: else the caller would learn that.

    Raises:
        Conflict: there is something at the key. Only of what is the caller's it says that it is in the trash.
    """
    at_key = select(models.File).where(models.File.key == key, models.File.bucket == file.bucket)
    there = session.execute(at_key).scalar_one_or_none()
    location = Location(file.bucket, key)
    is_left = there is not None and there.state == "deleted" and there.moved_to == file.id
    if there is not None and is_left and not holds_anothers(session, location, file.id):
        session.execute(delete(models.File).where(models.File.id == there.id))
    elif there is not None:
        # What a file has left when it moved is that file's.
        whose = there if there.moved_to is None else session.get(models.File, there.moved_to)
        is_own, is_nobodys = whose is not None and _is_in(scope, whose), whose is None or whose.owner_id is None
        if there.state != "deleted" or not (is_own or is_nobodys):
            raise Conflict(f"There is something at {key} already.")
        if holds_anothers(session, location, file.id):
            raise Conflict(f"There is something at {key} already{', in the trash' if is_own else ''}.")
        retire(session, [there.id])
    placeholder = uuid7(now)
    values = {"bucket": file.bucket, "key": key, "name": name, "state": "pending", "created_at": now, "updated_at": now}
    session.execute(insert(models.File).values(id=placeholder, **values))
    return placeholder


def _is_in(scope: Scope, file: models.File) -> bool:
    if not isinstance(scope, Owner):
        return True
    is_theirs = file.owner_id == scope.user_id and file.key.startswith(scope.prefix or "")
    return is_theirs and scope.session_id in (None, file.session_id)


def exchange(
    session: Session,
    command: Move,
    copied: File,
    ours: Collection[str | None],
    observed: ObjectChange,
    clock: Callable[[], datetime],
) -> File | None:
    """Give a file its new key, if it is still the object that was ``copied``; returns the file as it was before, else None.

    The file replaces the placeholder. A tombstone that belongs to nobody takes the file's old key. The copy is
    recorded.

    ``ours``: the version ids that the placeholder may have, because this job made them, and None: nothing was recorded
    yet.

    Raises:
        NotFound: the file was deleted. Conflict: something else came to the new key meanwhile.
    """
    lock_keys(session, [copied.location, (copied.bucket, command.key)])
    file = find_file(session, EVERYONE, copied.id, lock=True)
    now = clock()  # only now: changes that the locks had to wait for are earlier
    if file is None or file.state != "stored":
        raise NotFound("The file was deleted meanwhile.")
    if not file.is_same_object(copied):
        return None
    held = find_file(session, EVERYONE, command.placeholder, lock=True)
    if held is None or held.state == "deleted" or held.version_id not in ours:
        raise Conflict(f"There is something at {command.key} already.")
    session.execute(delete(models.File).where(models.File.id == held.id))
    left = {"version_id": file.version_id, "etag": file.etag, "stored_at": file.stored_at}
    location = {"file_id": file.id, "moved_at": now, "bucket": file.bucket, "key": file.key}
    session.execute(insert(models.FileLocation).values(**location, **left))
    moved = update(models.File).where(models.File.id == file.id)
    session.execute(moved.values(key=command.key, name=_new_name(command, file), updated_at=now))
    session.execute(insert(models.File).values(_tombstone(file, now)))
    record_changes(session, [observed], now)
    return file


def _new_name(command: Move, file: File) -> str:
    """The command's name; without one, the new key's if the file is named after its old key, else the present name."""
    if command.name is not None:
        return command.name
    return display_name(command.key) if file.name == display_name(file.key) else file.name


def _tombstone(file: File, now: datetime) -> dict[str, Any]:
    """What stays at the old key of a file that has moved."""
    kept = ("bucket", "key", "version_id", "rank", "size", "etag", "media_type", "state")
    row = {column: getattr(file, column) for column in kept}
    times = {"created_at": now, "updated_at": now}
    return {"id": uuid7(now), "name": display_name(file.key), "moved_to": file.id, **row, **times}


def drop_placeholder(session: Session, placeholder: UUID) -> None:
    """Give a key up. If an object has come there meanwhile, the row stays, because the object belongs to somebody else."""
    pending = models.File.id == placeholder, models.File.state == "pending"
    session.execute(delete(models.File).where(*pending))
