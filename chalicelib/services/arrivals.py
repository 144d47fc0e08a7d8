"""When the bytes of an upload have come: what a client says, what S3 shows, and what is recorded of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from chalicelib.catalog.objects import Current, Part
from chalicelib.catalog.observations import observe_head
from chalicelib.catalog.parts import part_count
from chalicelib.db.file_queries import FileDocument, find_files
from chalicelib.db.models import Upload
from chalicelib.db.recording import record_changes
from chalicelib.errors import AgainstPolicy, Conflict, NotArrived, NotFound, OverQuota, PreconditionFailed, Refused
from chalicelib.services import Transaction, in_transaction
from chalicelib.services.files import present_file, visible_file
from chalicelib.services.pending import check_settled, close_uploads
from chalicelib.services.principals import Principal
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore

# Errors of S3 that mean: these parts don't make an object. Its own words for why are the best there are.
_BAD_PARTS = {"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML", "InvalidRequest", "InvalidArgument"}


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """A pending file with its upload."""

    file: FileDocument
    upload: Upload

    @property
    def place(self) -> tuple[str, str]:
        return self.file["bucket"], self.file["key"]


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
        # Locked, so that its event doesn't come between this look and the next.
        file = present_file(visible_file(session, principal, file_id, lock=True))
        if file["state"] == "stored":
            return file
        found = open_upload(session, principal, file_id)
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

    The event of the same object merges into the observation, and doubles nothing. ``after``: see `observe_head`.
    """
    try:
        head = store.head(file["bucket"], file["key"])
    except NotFound:
        return None

    def record(session: Session) -> FileDocument:
        record_changes(session, [observe_head(file["bucket"], file["key"], head, now, after)], now)
        close_uploads(session, [UUID(file["id"])], now)
        return find_files(session, [UUID(file["id"])])[0]

    return in_transaction(transaction, record)


def open_upload(session: Session, principal: Principal, file_id: UUID) -> OpenUpload:
    """A file that waits for its bytes.

    Raises:
        NotFound: there is no such file for this caller, or it was deleted. Conflict: it is stored already.
    """
    file = present_file(visible_file(session, principal, file_id))
    upload = session.get(Upload, file_id)
    if file["state"] != "pending" or upload is None:
        raise Conflict("The file does not wait for bytes: it is stored already.")
    return OpenUpload(file, upload)


def _assemble(
    transaction: Transaction, store: ObjectStore, options: Settings, found: OpenUpload, named: Sequence[Part] | None
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
    transaction: Transaction, options: Settings, found: OpenUpload, held: Sequence[Part], parts: Sequence[Part]
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
