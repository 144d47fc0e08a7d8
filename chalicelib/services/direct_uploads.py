"""Uploads that go straight to S3: the API signs, S3 enforces what was signed, and its events tell what came.

The row comes first (``pending``), and holds the owner's quota. After that every step can be repeated, in any order with the
event, and can be left out: a client that never calls `complete` still has its file as soon as the event is recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import Kind, ObjectChange, rank, rank_after
from chalicelib.catalog.parts import MAX_SINGLE_BYTES, MULTIPART_FROM_BYTES, bytes_of_part, part_count
from chalicelib.db.file_history import Current
from chalicelib.db.file_queries import FileDocument, find_files
from chalicelib.db.models import File, Upload
from chalicelib.db.recording import record_changes
from chalicelib.errors import (
    AgainstPolicy,
    Conflict,
    FieldProblem,
    InvalidInput,
    NotArrived,
    NotFound,
    OverQuota,
    PreconditionFailed,
    StoreUnavailable,
    StoreUncertain,
)
from chalicelib.services import Transaction
from chalicelib.services.files import present_file, visible_file
from chalicelib.services.pending import (
    Announcement,
    Method,
    Place,
    add_pending,
    check_settled,
    close_uploads,
    forget,
    new_place,
    policies_of,
    room_left,
)
from chalicelib.services.principals import Principal
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectHead, ObjectStore, whole_sha256
from chalicelib.store.copying import Source
from chalicelib.store.failures import Refused
from chalicelib.store.links import SignedRequest
from chalicelib.store.multipart import Part

# A larger twin is offered, but not copied within a request.
_MOST_COPIED = 1024**3
# Errors of S3 that mean: these parts don't make an object. Its own words for why are the best there are.
_BAD_PARTS = {"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML", "InvalidRequest", "InvalidArgument"}


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


@dataclass(frozen=True, slots=True)
class _Open:
    """A pending file with its upload."""

    file: FileDocument
    upload: Upload

    @property
    def place(self) -> tuple[str, str]:
        return self.file["bucket"], self.file["key"]


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
        found = _open(session, principal, place.file_id)
        return Begun(found.file, _plan(session, store, options, principal, found, now), twin)


def renew(
    transaction: Transaction, store: ObjectStore, options: Settings, principal: Principal, file_id: UUID, now: datetime
) -> Begun:
    """The same upload with fresh links, and as much time as at its beginning.

    Raises:
        NotFound: there is no such file for this caller. Conflict: it doesn't wait for bytes.
    """
    with transaction() as session:
        found = _open(session, principal, file_id)
        expires_at = now + timedelta(seconds=options.upload_seconds)
        session.execute(update(Upload).where(Upload.file_id == file_id).values(expires_at=expires_at))
    if found.upload.method == "multipart":
        _begin_again_if_lost(transaction, store, found)
    with transaction() as session:
        found = _open(session, principal, file_id)
        return Begun(found.file, _plan(session, store, options, principal, found, now))


def sign_parts(
    session: Session, store: ObjectStore, options: Settings, principal: Principal, file_id: UUID, numbers: Sequence[int]
) -> list[SignedPart]:
    """Links to PUT these parts of a multipart upload.

    Raises:
        NotFound: there is no such file for this caller. Conflict: it doesn't wait for parts.
        InvalidInput: the plan has no part of such a number.
    """
    found = _open_multipart(session, principal, file_id)
    upload, seconds = found.upload, options.link_seconds
    parts = []
    for number in numbers:
        size = None
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


def complete(
    transaction: Transaction,
    store: ObjectStore,
    options: Settings,
    principal: Principal,
    file_id: UUID,
    parts: Sequence[Part] | None,
    now: datetime,
) -> FileDocument:
    """The stored file, once its object is there. Repeating it does no harm, and it makes no difference whether the event
    of the same object comes before or after.

    ``parts``: which ones make the object of a multipart upload; None takes those that S3 holds.

    Raises:
        NotFound: there is no such file for this caller, or it was deleted.
        AgainstPolicy, OverQuota: no size was announced, and this one is too much.
        NotArrived: the object is not there, or the parts don't make what was announced; says why. Nothing has changed.
    """
    with transaction() as session:
        file = present_file(visible_file(session, principal, file_id))
        if file["state"] == "stored":
            return file
        found = _open(session, principal, file_id)
    if found.upload.method == "multipart" and found.upload.multipart_id:
        _assemble(transaction, store, options, found, parts)
    stored = record_if_there(transaction, store, file, now)
    if stored is None:
        problem = _why_missing(found.upload, now)
        _remember(transaction, file_id, problem)
        raise NotArrived(problem)
    return stored


def record_if_there(
    transaction: Transaction, store: ObjectStore, file: FileDocument, now: datetime, after: Current | None = None
) -> FileDocument | None:
    """Record a file's object as S3 shows it; None if S3 holds none.

    What S3 shows carries no sequencer: the event of the same object merges into it, and doubles nothing. ``after``: see `seen`.
    """
    try:
        head = store.head(file["bucket"], file["key"])
    except NotFound:
        return None
    with transaction() as session:
        record_changes(session, [seen(file["bucket"], file["key"], head, now, after)], now)
        close_uploads(session, [UUID(file["id"])], now)
        return find_files(session, [UUID(file["id"])])[0]


def seen(bucket: str, key: str, head: ObjectHead, now: datetime, after: Current | None = None) -> ObjectChange:
    """What a HEAD answered, as an observation of a put.

    ``after``: what was current at the key before we ourselves put this there, so that this is known to be later.
    """
    moment = (head.last_modified or now).astimezone(UTC)
    return ObjectChange(
        kind=Kind.PUT,
        bucket=bucket,
        key=key,
        version_id=head.version_id,
        rank=rank_after(after.rank) if after else rank("", moment, Kind.PUT, head.etag, head.size),
        event_name="HeadObject",
        event_time=moment,
        size=head.size,
        etag=head.etag,
        media_type=head.media_type,
        metadata=head.metadata or None,
        sha256=whole_sha256(head.checksums),
        is_observation=True,
        follows=after.version_id if after else None,
    )


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
    except Exception:
        with transaction() as session:
            forget(session, [place.file_id])
        raise
    with transaction() as session:
        session.execute(update(Upload).where(Upload.file_id == place.file_id).values(multipart_id=multipart_id))


def _begin_again_if_lost(transaction: Transaction, store: ObjectStore, found: _Open) -> None:
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
    session: Session, store: ObjectStore, options: Settings, principal: Principal, found: _Open, now: datetime
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


def _open(session: Session, principal: Principal, file_id: UUID) -> _Open:
    file = present_file(visible_file(session, principal, file_id))
    upload = session.get(Upload, file_id)
    if file["state"] != "pending" or upload is None:
        raise Conflict("The file does not wait for bytes: it is stored already.")
    return _Open(file, upload)


def _open_multipart(session: Session, principal: Principal, file_id: UUID) -> _Open:
    found = _open(session, principal, file_id)
    if found.upload.multipart_id is None:
        raise Conflict(f"The file's bytes come by {found.upload.method}, not in parts.")
    return found


def _assemble(
    transaction: Transaction, store: ObjectStore, options: Settings, found: _Open, named: Sequence[Part] | None
) -> None:
    """Have S3 make the object of its parts. That it has done so already, or done something else, the HEAD will tell."""
    upload, upload_id = found.upload, str(found.upload.multipart_id)
    try:
        held = store.multipart.list_parts(*found.place, upload_id)
        parts = held if named is None else named
        if problem := _incomplete(upload, held, parts):
            _remember(transaction, upload.file_id, problem)
            raise NotArrived(problem)
        try:
            _admit(transaction, options, found, held, parts)
        except (AgainstPolicy, OverQuota) as error:
            _remember(transaction, upload.file_id, str(error))
            raise
        store.multipart.complete(*found.place, upload_id, parts)
    except (NotFound, PreconditionFailed):
        return
    except Refused as error:
        if error.code not in _BAD_PARTS:
            raise
        problem = f"S3 does not make an object of these parts: {error.code}."
        _remember(transaction, upload.file_id, problem)
        raise NotArrived(problem) from error


def _admit(
    transaction: Transaction, options: Settings, found: _Open, held: Sequence[Part], parts: Sequence[Part]
) -> None:
    """Keep what the object is made of, for a client that asks again; and refuse a size that nobody had announced."""
    upload, sizes = found.upload, {part.number: part.size for part in held}
    kept = [{"number": part.number, "etag": part.etag, "size": sizes.get(part.number, 0)} for part in parts]
    with transaction() as session:
        if upload.size is None:
            size = sum(sizes.get(part.number, 0) for part in parts)
            check_settled(session, options, found.file, size, upload.media_type)
        session.execute(update(Upload).where(Upload.file_id == upload.file_id).values(parts=kept))


def _incomplete(upload: Upload, held: Sequence[Part], parts: Sequence[Part]) -> str | None:
    """Why these parts are not the announced object; None if they can be."""
    if not parts:
        return "S3 holds no part of it yet."
    if upload.size is None:
        return None
    sizes = {part.number: part.size for part in held}
    total = sum(sizes.get(part.number, 0) for part in parts)
    if total == upload.size:
        return None
    count = part_count(upload.size, upload.part_size or 1)
    missing = [str(number) for number in range(1, count + 1) if number not in {part.number for part in parts}]
    lacking = f" Missing: {', '.join(missing[:20])}{', …' if len(missing) > 20 else ''}." if missing else ""
    return f"{upload.size} bytes were announced; the parts have {total}.{lacking}"


def _why_missing(upload: Upload, now: datetime) -> str:
    signed = [f"{upload.size} bytes"] if upload.size is not None else []
    signed += [f"of type {upload.media_type}"] if upload.media_type else []
    signed += ["of the announced SHA-256"] if upload.sha256 else []
    expected = f" It takes exactly {' '.join(signed)}." if signed else ""
    late = f" The upload has expired at {upload.expires_at.isoformat()}." if upload.expires_at < now else ""
    return f"S3 holds no such object: the bytes were not sent, or S3 refused them.{expected}{late}"


def _remember(transaction: Transaction, file_id: UUID, problem: str) -> None:
    with transaction() as session:
        session.execute(update(Upload).where(Upload.file_id == file_id).values(problem=problem))
