"""Uploads whose bytes come through the API."""

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import Kind, ObjectChange, rank
from chalicelib.catalog.keys import upload_key
from chalicelib.db.file_queries import FileDocument, find_files
from chalicelib.db.models import File
from chalicelib.db.recording import record_changes
from chalicelib.errors import NotFound, StoreUnavailable
from chalicelib.ids import uuid7
from chalicelib.services.files import Transaction
from chalicelib.services.principals import Principal
from chalicelib.services.sessions import open_session
from chalicelib.store.client import ObjectStore, StoredObject

_WRITERS = 8


@dataclass(frozen=True, slots=True)
class IncomingFile:
    """A file as it came: the client's own name for it, of any characters that Postgres takes."""

    name: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is said of a file before its bytes come. A session that isn't there yet is opened."""

    session_id: str | None
    metadata: dict[str, Any]
    tags: list[str]


@dataclass(frozen=True, slots=True)
class Upload:
    """Files that come together, and what is said of each of them."""

    files: Sequence[IncomingFile]
    said: Announcement


@dataclass(frozen=True, slots=True)
class _Place:
    file_id: UUID
    bucket: str
    key: str
    name: str
    media_type: str | None


def announce_file(
    session: Session, bucket: str, principal: Principal, name: str, said: Announcement, now: datetime
) -> FileDocument:
    """A ``pending`` file of the caller's, with the bucket and key where its object is to be put."""
    place = _place(bucket, principal, name, None, now)
    _add_pending(session, principal, said, [place], now)
    return find_files(session, [place.file_id])[0]


def upload_files(
    transaction: Transaction, store: ObjectStore, bucket: str, principal: Principal, upload: Upload, now: datetime
) -> list[FileDocument]:
    """Store files and record them at once, all or none; returns them in their order.

    The rows come first, as ``pending``, in a transaction of their own: none is open while S3 takes the bytes, and an
    event that comes before we are done finds owner, name and session there. Then:

    - S3 fails: what it took is deleted again, and the pending rows with it. Nothing is left to see.
    - The database fails after S3 took the bytes: the objects' own events record the files, under the same ids.
    - This process dies: as before; a row whose object never came stays ``pending``.

    What is recorded here carries no sequencer, so the event of the same put merges into it and doubles nothing.

    Raises:
        StoreUnavailable, DatabaseUnavailable: as above.
    """
    places = [_place(bucket, principal, file.name, file.media_type, now) for file in upload.files]
    with transaction() as session:
        _add_pending(session, principal, upload.said, places, now)
    try:
        stored = _put_all(store, places, upload.files)
    except StoreUnavailable:
        with transaction() as session:
            _forget(session, places)
        raise
    with transaction() as session:
        record_changes(session, list(map(_seen, places, stored)), now)
        return find_files(session, [place.file_id for place in places])


def _place(bucket: str, principal: Principal, name: str, media_type: str | None, now: datetime) -> _Place:
    file_id = uuid7(now)
    return _Place(file_id, bucket, upload_key(principal.user_id, file_id, name), name, media_type)


def _add_pending(
    session: Session, principal: Principal, said: Announcement, places: Sequence[_Place], now: datetime
) -> None:
    if said.session_id is not None:
        open_session(session, principal, said.session_id, None, {}, now)
    shared = {
        File.state: "pending",
        File.owner_id: principal.user_id,
        File.session_id: said.session_id,
        File.metadata_: said.metadata,
        File.tags: said.tags,
        File.created_at: now,
        File.updated_at: now,
    }
    rows = [
        {
            File.id: place.file_id,
            File.bucket: place.bucket,
            File.key: place.key,
            File.name: place.name,
            File.media_type: place.media_type,
            **shared,
        }
        for place in places
    ]
    session.execute(insert(File).values(rows))


def _put_all(store: ObjectStore, places: Sequence[_Place], files: Sequence[IncomingFile]) -> list[StoredObject]:
    """Put every file, several at once. If one fails, no further one is begun and those that S3 took are deleted."""
    with ThreadPoolExecutor(min(_WRITERS, len(places))) as pool:
        puts = [
            pool.submit(store.put, place.bucket, place.key, file.body, file.media_type, {})
            for place, file in zip(places, files, strict=True)
        ]
        wait(puts, return_when=FIRST_EXCEPTION)
        for put in puts:
            put.cancel()
    failures = [error for put in puts if not put.cancelled() and (error := put.exception())]
    if not failures:
        return [put.result() for put in puts]
    _take_back(store, [(p, put.result()) for p, put in zip(places, puts, strict=True) if _succeeded(put)])
    raise failures[0]


def _succeeded(put: Future[StoredObject]) -> bool:
    return not put.cancelled() and put.exception() is None


def _take_back(store: ObjectStore, stored: Sequence[tuple[_Place, StoredObject]]) -> None:
    """Delete, as well as S3 lets us, the very versions that were stored: no delete marker is left behind."""
    with suppress(StoreUnavailable, NotFound):
        for place, answer in stored:
            store.delete(place.bucket, place.key, answer.version_id or None)


def _forget(session: Session, places: Sequence[_Place]) -> None:
    """Remove the rows that still wait. One whose event came first stays, and goes when that of the deletion comes."""
    waiting = File.id.in_([place.file_id for place in places])
    session.execute(delete(File).where(waiting, File.state == "pending"))


def _seen(place: _Place, stored: StoredObject) -> ObjectChange:
    return ObjectChange(
        kind=Kind.PUT,
        bucket=place.bucket,
        key=place.key,
        version_id=stored.version_id,
        rank=rank("", stored.stored_at, Kind.PUT, stored.etag, stored.size),
        event_name="PutObject",
        event_time=stored.stored_at,
        size=stored.size,
        etag=stored.etag,
        media_type=place.media_type,
        is_observation=True,
    )
