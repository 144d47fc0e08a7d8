"""Rows of files: reading one or several, and changing them.

Postgres sends a file as one JSON text, because pydantic reads that faster than the driver decodes 20 columns.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, TypedDict
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session
from typing_extensions import Unpack

from chalicelib.catalog.files import File, FileState
from chalicelib.db import models
from chalicelib.db.arrays import rows_as_json
from chalicelib.db.engine import prepared_read, prepared_write
from chalicelib.db.rows import read_row
from chalicelib.db.scope import FILE_IN_SCOPE, Owner, Scope, bound_scope

# `revision` identifies a state of the row. Its first part changes when a client or an event of S3 changes the file. Its
# second part changes at every change of the row. It is made of the row alone: the row's xmin would be shorter, but it counts
# all transactions, and would tell how much others do. Without versions an object is known by its ETag.
# `upload` is the upload of a file that isn't stored; its `problem` says why the bytes have not come.
_FILE = """
SELECT row_to_json(f)::text FROM (
    SELECT id, bucket, key, version_id, name, size, etag, media_type, detected_media_type, is_mismatch, sha256, state, owner_id,
        session_id, metadata, tags, stored_at, created_at, updated_at, rank,
        left(md5(row(key, name, session_id, owner_id, metadata, tags, state,
            CASE WHEN version_id = '' THEN coalesce(etag, '') ELSE version_id END)::text), 16) || '-'
            || left(md5(files::text), 16) AS revision,
        (SELECT row_to_json(u) FROM (
            SELECT method, size, media_type, sha256, expires_at, problem, multipart_id, part_size FROM uploads
            WHERE file_id = files.id AND files.state <> 'stored') AS u) AS upload
    FROM {source}
    WHERE {condition}) AS f
"""
_ONE = prepared_read(text(_FILE.format(source="files", condition=f"id = CAST(:id AS uuid) AND {FILE_IN_SCOPE}")))
_LOCK_ONE = text(
    _FILE.format(source="files", condition=f"id = CAST(:id AS uuid) AND {FILE_IN_SCOPE} FOR NO KEY UPDATE")
)
_AT = text(_FILE.format(source="files", condition="key = :key AND bucket = :bucket"))
# In the index of the owner's keys, so that nobody else's file is read: see docs/decisions/0041-members-filters.md.
_OWN_AT = text(
    _FILE.format(
        source="files",
        condition=f"key >= (SELECT CAST(:key AS text)) AND key <= (SELECT CAST(:key AS text)) AND bucket = :bucket"
        f" AND owner_id = CAST(:owner_id AS uuid) AND {FILE_IN_SCOPE}",
    )
)
_SEVERAL = prepared_read(
    text(_FILE.format(source="files", condition=f"id = ANY(CAST(:ids AS uuid[])) AND {FILE_IN_SCOPE}"))
)
# SQLAlchemy would compile an INSERT of several rows anew each time, which takes longer than the statement itself.
_ADD_PENDING = prepared_write(
    text("""
INSERT INTO files (id, bucket, key, name, media_type, reserved, owner_id, session_id, metadata, tags, state, created_at,
    updated_at)
SELECT f.*, 'pending', CAST(:now AS timestamptz), CAST(:now AS timestamptz)
FROM json_to_recordset(CAST(:files AS json)) AS f (id uuid, bucket text, key text, name text, media_type text, reserved bigint,
    owner_id uuid, session_id text, metadata jsonb, tags text[])
""")
)


def find_file(session: Session, scope: Scope, file_id: UUID, *, lock: bool = False) -> File | None:
    """One file in whatever state; None if there is none. ``lock``: keep others from changing it until the transaction ends."""
    found = read_row(session, _LOCK_ONE if lock else _ONE, {"id": file_id} | bound_scope(scope))
    return None if found is None else _reader().validate_json(found[0])


def find_file_at(session: Session, scope: Scope, bucket: str, key: str) -> File | None:
    """The file at a location, in whatever state; None if there is none."""
    at = _OWN_AT if isinstance(scope, Owner) else _AT
    found = session.scalar(at, {"bucket": bucket, "key": key} | bound_scope(scope))
    return None if found is None else _reader().validate_json(found)


def find_files(session: Session, scope: Scope, file_ids: Sequence[UUID]) -> dict[UUID, File]:
    """Those of these files that exist, in whatever state, in the order of ``file_ids``."""
    found = session.scalars(_SEVERAL, {"ids": list(file_ids)} | bound_scope(scope))
    files = {file.id: file for file in map(_reader().validate_json, found)}
    return {file_id: files[file_id] for file_id in file_ids if file_id in files}


def read_file(session: Session, scope: Scope, file_id: UUID) -> File:
    """A file that is known to be there: this transaction has just found or written it."""
    return find_files(session, scope, [file_id])[file_id]


def find_state(session: Session, bucket: str, key: str) -> tuple[FileState | None, str | None]:
    """State and ETag of the file at a location, both None if there is none."""
    found = session.execute(
        select(models.File.state, models.File.etag).where(models.File.key == key, models.File.bucket == bucket)
    ).one_or_none()
    return (found.state, found.etag) if found else (None, None)


def find_duplicate(session: Session, owner: Owner, sha256: str, size: int | None) -> File | None:
    """The owner's oldest stored file with this SHA-256 and, unless ``size`` is None, of this many bytes."""
    same = [models.File.owner_id == owner.user_id, models.File.sha256 == sha256, models.File.state == "stored"]
    if owner.session_id is not None:
        same.append(models.File.session_id == owner.session_id)
    if size is not None:
        same.append(models.File.size == size)
    file_id = session.scalar(select(models.File.id).where(*same).order_by(models.File.id).limit(1))
    return read_file(session, owner, file_id) if file_id else None


class NewFile(TypedDict):
    """A row to add: what is said of a pending file. ``reserved``: bytes that it may still bring."""

    id: UUID
    bucket: str
    key: str
    name: str
    media_type: str | None
    reserved: int
    owner_id: UUID
    session_id: str | None
    metadata: dict[str, Any]
    tags: list[str]


class FileColumns(TypedDict, total=False):
    """Columns of a file to change."""

    name: str
    owner_id: UUID
    session_id: str | None
    metadata: dict[str, Any]
    tags: list[str]
    expires_at: datetime
    updated_at: datetime


def add_pending(session: Session, files: Sequence[NewFile], now: datetime) -> None:
    """Add pending files."""
    session.execute(_ADD_PENDING, {"files": rows_as_json(files), "now": now})


def change_file(session: Session, file_id: UUID, **columns: Unpack[FileColumns]) -> None:
    """Change columns of a file."""
    session.execute(update(models.File).where(models.File.id == file_id).values(**_columns(columns)))


def _columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """By the model's attributes: ``metadata`` itself belongs to SQLAlchemy there."""
    return {"metadata_" if name == "metadata" else name: value for name, value in columns.items()}


def reserve(session: Session, file_id: UUID, size: int) -> None:
    """Reserve ``size`` bytes for a pending file."""
    session.execute(
        update(models.File).where(models.File.id == file_id, models.File.state == "pending").values(reserved=size)
    )


def reserved_for(session: Session, file_id: UUID) -> int:
    """Bytes that are reserved for a pending file."""
    return session.scalar(select(models.File.reserved).where(models.File.id == file_id)) or 0


def reserve_restore(session: Session, file_id: UUID, more: int) -> bool:
    """Reserve ``more`` bytes for a file that is about to be restored, unless some are reserved for another restore of it; says
    whether that could be done."""
    free = update(models.File).where(models.File.id == file_id, models.File.restoring.is_(None))
    return session.execute(free.values(restoring=max(0, more)).returning(models.File.id)).one_or_none() is not None


def end_restores(session: Session, file_ids: Collection[UUID]) -> None:
    """Free what `reserve_restore` has reserved for these files."""
    session.execute(
        update(models.File)
        .where(models.File.id.in_(file_ids), models.File.restoring.is_not(None))
        .values(restoring=None)
    )


def mark_restored(session: Session, file_ids: Collection[UUID]) -> None:
    """Note that these files are restored: their bytes count by themselves, without a reservation, and they don't expire."""
    session.execute(update(models.File).where(models.File.id.in_(file_ids)).values(expires_at=None, restoring=None))


def mark_deleted(session: Session, file_ids: Collection[UUID], now: datetime) -> None:
    """Mark those of these files that are still pending as deleted. They never had an object, so the merge doesn't do it."""
    pending = update(models.File).where(models.File.id.in_(file_ids), models.File.state == "pending")
    session.execute(pending.values(state="deleted", updated_at=now))


def forget_pending(session: Session, file_ids: Collection[UUID]) -> None:
    """Delete the rows of those of these files that are still pending.

    A file whose event has come already is kept; the event of its object's deletion will mark it as deleted.
    """
    session.execute(delete(models.File).where(models.File.id.in_(file_ids), models.File.state == "pending"))


@cache
def _reader() -> "TypeAdapter[File]":
    """The reader of files as JSON, built at its first use: a process that only records events needs none."""
    return TypeAdapter(File)
