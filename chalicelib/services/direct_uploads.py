"""Uploads that go straight to S3: the API signs, S3 enforces what was signed, and its events tell what came.

The row comes first (``pending``), and holds the owner's quota. After that every step can be repeated, in any order with the
event, and can be left out: a client that never calls `complete` still has its file as soon as the event is recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from chalicelib.catalog.objects import Part
from chalicelib.catalog.parts import MAX_SINGLE_BYTES, MULTIPART_FROM_BYTES, bytes_of_part, part_count
from chalicelib.db.file_queries import FileDocument, find_files
from chalicelib.db.models import File, Upload
from chalicelib.errors import (
    Conflict,
    FieldProblem,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    StoreUnavailable,
    StoreUncertain,
)
from chalicelib.services import Transaction
from chalicelib.services.arrivals import OpenUpload, open_upload, record_if_there
from chalicelib.services.pending import (
    Announcement,
    Method,
    Place,
    add_pending,
    forget,
    new_place,
    policies_of,
    room_left,
    time_for_bytes,
)
from chalicelib.services.principals import Principal
from chalicelib.services.unfinished import reserve_parts
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore
from chalicelib.store.copying import Source
from chalicelib.store.links import SignedRequest

# A larger twin is offered, but not copied within a request.
_MOST_COPIED = 1024**3


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that a client wants to upload. ``method`` None: whatever fits its size."""

    name: str
    media_type: str | None = None
    size: int | None = None
    sha256: str | None = None
    method: Method | None = None
    said: Announcement = field(default_factory=Announcement)
    dedupe: bool = False
    client_key: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How to send a file's bytes.

    ``put`` and ``post`` have a ``request`` to send until ``link_expires_at``. ``multipart`` has parts of ``part_size`` bytes,
    the last one shorter, ``part_count`` of them; they are signed in batches by `sign_parts`. Until ``expires_at`` all of it
    can be signed anew; after that the upload counts as abandoned.
    """

    method: Method
    expires_at: datetime
    request: SignedRequest | None = None
    link_expires_at: datetime | None = None
    upload_id: str | None = None
    part_size: int | None = None
    part_count: int | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A new file, and how to send its bytes; None: it has them. ``twin`` is a stored file with the same bytes."""

    file: FileDocument
    plan: Plan | None
    twin: FileDocument | None = None


@dataclass(frozen=True, slots=True)
class SignedPart:
    """One part for the client to PUT. ``size`` in bytes is signed where the plan sets it."""

    number: int
    size: int | None
    url: str


def begin(
    transaction: Transaction, store: ObjectStore, options: Settings, principal: Principal, wanted: Wanted, now: datetime
) -> Begun:
    """A ``pending`` file, how to send its bytes, and a stored file of the caller's with the same SHA-256, if it has one.

    ``dedupe``: make the file a copy of that one instead, if there is one, and have no bytes sent.

    Raises:
        AgainstPolicy, OverQuota: see `add_pending`. StoreUnavailable: a multipart upload could not be begun; nothing is left.
    """
    method = wanted.method or ("multipart" if (wanted.size or 0) > MULTIPART_FROM_BYTES else "put")
    if method != "multipart" and (wanted.size or 0) > MAX_SINGLE_BYTES:
        problem = FieldProblem("body", "method", "S3 takes more than 5 GiB in parts only.")
        raise InvalidInput("Wrong: body method.", (problem,))
    place = new_place(
        options.bucket,
        principal,
        wanted.name,
        now,
        method,
        wanted.media_type,
        wanted.size,
        wanted.sha256,
        wanted.client_key,
    )
    with transaction() as session:
        twin = _twin(session, principal, wanted)
        copies = twin is not None and wanted.dedupe and twin["size"] <= _MOST_COPIED
        if twin is not None and copies:
            place = replace(place, method="put", size=twin["size"], media_type=place.media_type or twin["media_type"])
        add_pending(session, options, principal, wanted.said, [place], now)
    if twin is not None and copies and (copied := _copy_of(transaction, store, place, twin, now)):
        return Begun(copied, None, twin)
    if method == "multipart":
        _begin_multipart(transaction, store, place)
    with transaction() as session:
        found = open_upload(session, principal, place.file_id)
        return Begun(found.file, _plan(session, store, options, principal, found, now), twin)


def renew(
    transaction: Transaction, store: ObjectStore, options: Settings, principal: Principal, file_id: UUID, now: datetime
) -> Begun:
    """The same upload with fresh links, and as much time as at its beginning.

    Raises:
        NotFound: there is no such file for this caller. Conflict: it doesn't wait for bytes.
    """
    with transaction() as session:
        found = open_upload(session, principal, file_id)
        expires_at = now + time_for_bytes(options, found.upload.method, found.upload.size)
        session.execute(update(Upload).where(Upload.file_id == file_id).values(expires_at=expires_at))
    if found.upload.method == "multipart":
        _begin_again_if_lost(transaction, store, found)
    with transaction() as session:
        found = open_upload(session, principal, file_id)
        return Begun(found.file, _plan(session, store, options, principal, found, now))


def sign_parts(
    transaction: Transaction,
    store: ObjectStore,
    options: Settings,
    principal: Principal,
    file_id: UUID,
    numbers: Sequence[int],
    bytes_each: int | None = None,
) -> list[SignedPart]:
    """Links to PUT these parts of a multipart upload, of ``bytes_each`` bytes where no size was announced for the whole.

    Raises:
        NotFound: there is no such file for this caller. Conflict: it doesn't wait for parts.
        InvalidInput: the plan has no part of such a number. AgainstPolicy, OverQuota: there is no room for them.
    """
    with transaction() as session:
        found = _open_multipart(session, principal, file_id)
    upload, seconds = found.upload, options.link_seconds
    if upload.size is None:
        reserve_parts(transaction, store, options, found, numbers if bytes_each else (), bytes_each or 0)
    parts = []
    for number in numbers:
        size = bytes_each
        if upload.size is not None and upload.part_size is not None:
            size = bytes_of_part(number, upload.size, upload.part_size)
            if size < 0 or (size == 0 and number > 1):
                count = part_count(upload.size, upload.part_size)
                message = f"The upload has {count} parts; there is no part {number}."
                raise InvalidInput(message, (FieldProblem("body", "part_numbers", message),))
        signed = store.links.part(*found.place, str(upload.multipart_id), number, size, seconds)
        parts.append(SignedPart(number, size, signed.url))
    return parts


def list_parts(transaction: Transaction, store: ObjectStore, principal: Principal, file_id: UUID) -> list[Part]:
    """The parts that S3 holds of an upload that isn't complete: what a client that resumes need not send again.

    Raises:
        NotFound: there is no such file for this caller. Conflict: it doesn't wait for parts, or S3 has forgotten them.
    """
    with transaction() as session:
        found = _open_multipart(session, principal, file_id)
    try:
        return store.multipart.list_parts(*found.place, str(found.upload.multipart_id))
    except NotFound:
        raise Conflict("S3 holds no such multipart upload any more: it was completed, or aborted.") from None


def _twin(session: Session, principal: Principal, wanted: Wanted) -> FileDocument | None:
    if wanted.sha256 is None:
        return None
    same = [File.owner_id == principal.user_id, File.sha256 == wanted.sha256, File.state == "stored"]
    if wanted.size is not None:
        same.append(File.size == wanted.size)
    file_id = session.scalar(select(File.id).where(*same).order_by(File.id).limit(1))
    return find_files(session, [file_id])[0] if file_id else None


def _copy_of(
    transaction: Transaction, store: ObjectStore, place: Place, twin: FileDocument, now: datetime
) -> FileDocument | None:
    """The pending file at ``place``, stored as a copy of ``twin``; None if that one has changed in this moment."""
    source = Source(twin["bucket"], twin["key"], twin["version_id"], twin["etag"], twin["size"])
    try:
        store.copier.copy(source, place.bucket, place.key, place.media_type)
    except (NotFound, PreconditionFailed):
        return None
    except StoreUncertain:
        raise  # it may be there: the row waits for its event, or for the clock
    except StoreUnavailable:
        with transaction() as session:
            forget(session, [place.file_id])
        raise
    with transaction() as session:
        file = find_files(session, [place.file_id])[0]
    return record_if_there(transaction, store, file, now)


def _begin_multipart(transaction: Transaction, store: ObjectStore, place: Place) -> None:
    try:
        multipart_id = store.multipart.create(place.bucket, place.key, place.media_type)
    except Exception:  # whatever it was, no row waits for an upload that was never begun; it is raised again
        with transaction() as session:
            forget(session, [place.file_id])
        raise
    with transaction() as session:
        session.execute(update(Upload).where(Upload.file_id == place.file_id).values(multipart_id=multipart_id))


def _begin_again_if_lost(transaction: Transaction, store: ObjectStore, found: OpenUpload) -> None:
    """A lifecycle rule, or somebody else, may have thrown the parts away."""
    upload_id, media_type = found.upload.multipart_id, found.upload.media_type
    try:
        if upload_id is not None:
            store.multipart.list_parts(*found.place, upload_id)
            return
    except NotFound:
        pass
    upload_id = store.multipart.create(*found.place, media_type)
    with transaction() as session:
        session.execute(update(Upload).where(Upload.file_id == found.upload.file_id).values(multipart_id=upload_id))


def _plan(
    session: Session, store: ObjectStore, options: Settings, principal: Principal, found: OpenUpload, now: datetime
) -> Plan:
    upload = found.upload
    plan = Plan(upload.method, upload.expires_at)  # type: ignore[arg-type]
    if upload.method == "multipart":
        count = None if upload.size is None else part_count(upload.size, upload.part_size or 1)
        return replace(plan, upload_id=upload.multipart_id, part_size=upload.part_size, part_count=count)
    plan = replace(plan, link_expires_at=now + timedelta(seconds=options.link_seconds))
    if upload.method == "put":
        signed = store.links.put(*found.place, upload.size, upload.media_type, upload.sha256, options.link_seconds)
        return replace(plan, request=signed)
    least = most = upload.size
    if least is None or most is None:
        policies = policies_of(session, options, principal.user_id, found.file["session_id"])
        least, most = 0, room_left(session, policies, principal.user_id, MAX_SINGLE_BYTES)
    signed = store.links.post(*found.place, least, most, upload.media_type, upload.sha256, options.link_seconds)
    return replace(plan, request=signed)


def _open_multipart(session: Session, principal: Principal, file_id: UUID) -> OpenUpload:
    found = open_upload(session, principal, file_id)
    if found.upload.multipart_id is None:
        raise Conflict(f"The file's bytes come by {found.upload.method}, not in parts.")
    return found
