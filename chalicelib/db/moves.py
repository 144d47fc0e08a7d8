"""What a move does to rows: it holds the new key with a placeholder, then exchanges the two."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from chalicelib.catalog.files import File
from chalicelib.catalog.keys import display_name
from chalicelib.catalog.objects import Location
from chalicelib.db import models
from chalicelib.db.files import find_file
from chalicelib.db.history import hidden_objects
from chalicelib.db.scope import EVERYONE
from chalicelib.errors import Conflict
from chalicelib.ids import uuid7


def hold_key(session: Session, file: File, key: str, name: str, now: datetime) -> UUID:
    """Hold a key for a file with a placeholder, and return its id. A tombstone with nothing to restore gives way, and so does one
    that this very file left there.

    Raises:
        Conflict: there is something at the key.
    """
    at_key = select(models.File).where(models.File.key == key, models.File.bucket == file.bucket)
    there = session.execute(at_key).scalar_one_or_none()
    if there is not None:
        if there.state != "deleted":
            raise Conflict(f"There is something at {key} already.")
        if there.moved_to != file.id and hidden_objects(session, [Location(there.bucket, there.key)]):
            raise Conflict(f"There is something at {key} already, in the trash.")
        session.execute(delete(models.File).where(models.File.id == there.id))
    placeholder = uuid7(now)
    values = {"bucket": file.bucket, "key": key, "name": name, "state": "pending", "created_at": now, "updated_at": now}
    session.execute(insert(models.File).values(id=placeholder, **values))
    return placeholder


def exchange(
    session: Session, file: File, key: str, name: str, placeholder: UUID, ours: Collection[str | None], now: datetime
) -> None:
    """Give the file the placeholder's key and name. A tombstone that nobody owns takes the file's old key.

    ``ours``: version ids that the placeholder may have, since this job made them; None: no object of it was recorded yet.

    Raises:
        Conflict: something else came to the new key meanwhile.
    """
    held = find_file(session, EVERYONE, placeholder, lock=True)
    if held is None or held.state == "deleted" or held.version_id not in ours:
        raise Conflict(f"There is something at {key} already.")
    session.execute(delete(models.File).where(models.File.id == placeholder))
    left = {"version_id": file.version_id, "etag": file.etag, "stored_at": file.stored_at}
    location = {"file_id": file.id, "moved_at": now, "bucket": file.bucket, "key": file.key}
    session.execute(insert(models.FilePlace).values(**location, **left))
    moved = update(models.File).where(models.File.id == file.id)
    session.execute(moved.values(key=key, name=name, updated_at=now))
    kept = ("bucket", "key", "version_id", "rank", "size", "etag", "media_type", "state")
    tombstone = {column: getattr(file, column) for column in kept}
    tombstone |= {"name": display_name(file.key), "moved_to": file.id, "created_at": now, "updated_at": now}
    session.execute(insert(models.File).values(id=uuid7(now), **tombstone))


def drop_placeholder(session: Session, placeholder: UUID) -> None:
    """Give a key up, unless an object has come there meanwhile: it is somebody's, and its row stays."""
    pending = models.File.id == placeholder, models.File.state == "pending"
    session.execute(delete(models.File).where(*pending))
