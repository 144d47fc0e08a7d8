"""Uploads whose bytes come through the API."""

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime

from chalicelib.catalog.objects import StoredObject
from chalicelib.catalog.observations import observe_put
from chalicelib.db.file_queries import FileDocument, find_files
from chalicelib.db.recording import record_changes
from chalicelib.errors import NotFound, StoreUnavailable, StoreUncertain
from chalicelib.services import Session, Transaction, in_transaction
from chalicelib.services.pending import Announcement, Place, add_pending, close_uploads, forget, new_place
from chalicelib.services.principals import Principal
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore

_WRITERS = 8


@dataclass(frozen=True, slots=True)
class IncomingFile:
    """A file as it came: the client's own name for it, of any characters that Postgres takes."""

    name: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """Files that come together, and what is said of each of them."""

    files: Sequence[IncomingFile]
    said: Announcement


def upload_files(
    transaction: Transaction, store: ObjectStore, options: Settings, principal: Principal, upload: Upload, now: datetime
) -> list[FileDocument]:
    """Store files and record them at once, all or none; returns them in their order.

    The rows come first, as ``pending``, in a transaction of their own: none is open while S3 takes the bytes, and an
    event that comes before we are done finds owner, name and session there. Then:

    - S3 fails: the objects that it stored are deleted again, and the pending rows are deleted. If S3 didn't say whether it stored
      an object, that file stays ``pending``: if the object is there, its event finds the row and its owner.
    - The database fails after S3 took the bytes: the objects' own events record the files, under the same ids.
    - This process dies: as before; a row whose object never came stays ``pending``.

    What is recorded here carries no sequencer, so the event of the same put merges into it and doubles nothing.

    Raises:
        AgainstPolicy, OverQuota: see `add_pending`. Nothing was stored.
        StoreUnavailable, DatabaseUnavailable: as above.
    """
    places = [
        new_place(options.bucket, principal, file.name, now, media_type=file.media_type, size=len(file.body))
        for file in upload.files
    ]
    with transaction() as session:
        add_pending(session, options, principal, upload.said, places, now)
    outcomes = _put_all(store, places, upload.files)
    failures = [outcome for outcome in outcomes if isinstance(outcome, StoreUnavailable)]
    if failures:
        with transaction() as session:
            forget(session, [place.file_id for place in _certainly_gone(store, places, outcomes)])
        raise failures[0]
    stored = [outcome for outcome in outcomes if isinstance(outcome, StoredObject)]
    changes = [
        observe_put(place.bucket, place.key, one, place.media_type) for place, one in zip(places, stored, strict=True)
    ]

    def record(session: Session) -> list[FileDocument]:
        record_changes(session, changes, now)
        close_uploads(session, [place.file_id for place in places], now)
        return find_files(session, [place.file_id for place in places])

    return in_transaction(transaction, record)


def _put_all(
    store: ObjectStore, places: Sequence[Place], files: Sequence[IncomingFile]
) -> list[StoredObject | StoreUnavailable | None]:
    """Put every file, several at once; what came of each. If one fails, no further one is begun (None)."""
    with ThreadPoolExecutor(min(_WRITERS, len(places))) as pool:
        puts = [
            pool.submit(store.put, place.bucket, place.key, file.body, file.media_type)
            for place, file in zip(places, files, strict=True)
        ]
        wait(puts, return_when=FIRST_EXCEPTION)
        for put in puts:
            put.cancel()
    return [_outcome(put) for put in puts]


def _outcome(put: Future[StoredObject]) -> StoredObject | StoreUnavailable | None:
    if put.cancelled():
        return None
    try:
        return put.result()
    except StoreUnavailable as error:
        return error


def _certainly_gone(
    store: ObjectStore, places: Sequence[Place], outcomes: Sequence[StoredObject | StoreUnavailable | None]
) -> list[Place]:
    """The places where S3 holds nothing: it never took it, or what it took is deleted again.

    It is the very version that is deleted, so that no delete marker is left behind.
    """
    gone = []
    for place, outcome in zip(places, outcomes, strict=True):
        if isinstance(outcome, StoreUncertain):
            continue
        if isinstance(outcome, StoredObject):
            try:
                store.delete(place.bucket, place.key, outcome.version_id or None)
            except (StoreUnavailable, NotFound):
                continue
        gone.append(place)
    return gone
