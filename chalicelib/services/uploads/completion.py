"""When the bytes of an upload have come: what a client says, what S3 shows, and what is recorded of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from uuid import UUID

from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.files import File, UploadState
from chalicelib.catalog.objects import Current, Location, Part
from chalicelib.catalog.observations import observe_head
from chalicelib.catalog.parts import part_count
from chalicelib.db import uploads
from chalicelib.db.files import find_file
from chalicelib.db.recording import record_changes
from chalicelib.db.scope import EVERYONE
from chalicelib.errors import AgainstPolicy, Conflict, NotArrived, NotFound, OverQuota, PreconditionFailed, Refused
from chalicelib.services.context import Context, Transaction
from chalicelib.services.files.reading import get_file
from chalicelib.services.uploads.reservations import settle_size

_NO_UPLOAD = "The file does not wait for bytes: it is stored already."
# Errors of S3 that mean: these parts don't make an object. The client gets S3's code, since nothing explains it better.
_BAD_PARTS = {"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML", "InvalidRequest", "InvalidArgument"}


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """A pending file with its upload."""

    file: File
    upload: UploadState

    @property
    def multipart_id(self) -> str:
        """S3's own id of the multipart upload; empty if there is none."""
        return self.upload.multipart_id or ""

    def require_parts(self) -> None:
        """Refuse an upload whose bytes don't come in parts.

        Raises:
            Conflict: they don't.
        """
        if not self.multipart_id:
            raise Conflict(f"The file's bytes come by {self.upload.method}, not in parts.")

    def why_missing(self, now: datetime) -> str:
        """Why S3 may hold no object of it, and what it would take."""
        upload = self.upload
        signed = [f"{upload.size} bytes"] if upload.size is not None else []
        signed += [f"of type {upload.media_type}"] if upload.media_type else []
        signed += ["of the announced SHA-256"] if upload.sha256 else []
        expected = f" It takes exactly {' '.join(signed)}." if signed else ""
        late = f" The upload has expired at {upload.expires_at.isoformat()}." if upload.expires_at < now else ""
        return f"S3 holds no such object: the bytes were not sent, or S3 refused them.{expected}{late}"


def complete(ctx: Context, file_id: UUID, parts: Sequence[Part] | None) -> File:
    """Complete an upload; returns the stored file, once its object is there.

    Repeating it does no harm, and it makes no difference whether the object's event comes before or after.

    ``parts``: which ones make the object of a multipart upload; None takes those that S3 holds.

    Raises:
        NotFound: there is no such file for this caller, or it was deleted.
        AgainstPolicy, OverQuota: no size was announced, and the object is too large.
        NotArrived: the object is not there, or the parts don't make what was announced; the message says why.
    """
    with ctx.transaction() as tx:
        file = get_file(tx, file_id)
        if file.state == "stored":
            return file
        upload = file.upload
        if upload is None:
            raise Conflict(_NO_UPLOAD)
        found = OpenUpload(file, upload)
    if upload.method == "multipart" and found.multipart_id:
        _assemble(ctx, found, parts)
    stored = record_if_there(ctx, file.id, file.location)
    if stored is None:
        problem = found.why_missing(tx.now)
        _remember(ctx, file_id, problem)
        raise NotArrived(problem)
    return stored


def record_if_there(ctx: Context, file_id: UUID, location: Location, after: Current | None = None) -> File | None:
    """Record a file's object as S3 shows it; None if S3 holds none.

    The event of the same object merges into the observation, and doubles nothing. ``after``: see `observe_head`.
    """
    try:
        head = ctx.store.head(*location)
    except NotFound:
        return None
    observed = observe_head(*location, head, ctx.now, after)
    return ctx.in_transaction(partial(_record, file_id=file_id, observed=observed))


def _record(tx: Transaction, file_id: UUID, observed: ObjectChange) -> File:
    record_changes(tx.session, [observed], tx.now)
    uploads.close_uploads(tx.session, [file_id], tx.now)
    recorded = find_file(tx.session, EVERYONE, file_id)
    if recorded is None:
        raise NotFound(f"There is no file {file_id} any more.")
    return recorded


def open_upload(tx: Transaction, file_id: UUID) -> OpenUpload:
    """A file that waits for its bytes.

    Raises:
        NotFound: there is no such file for this caller, or it was deleted. Conflict: it is stored already.
    """
    file = get_file(tx, file_id)
    if file.state != "pending" or file.upload is None:
        raise Conflict(_NO_UPLOAD)
    return OpenUpload(file, file.upload)


def _assemble(ctx: Context, found: OpenUpload, named: Sequence[Part] | None) -> None:
    """Have S3 make the object of its parts. If S3 has done so already, or holds another object, the next HEAD shows it."""
    upload, location = found.upload, found.file.location
    try:
        held = ctx.store.multipart.list_parts(*location, found.multipart_id)
        parts = held if named is None else named
        if problem := _incomplete(upload, held, parts):
            raise NotArrived(problem)
        _admit(ctx, found, held, parts)
        ctx.store.multipart.complete(*location, found.multipart_id, parts)
    except (NotFound, PreconditionFailed):
        return
    except (NotArrived, AgainstPolicy, OverQuota) as error:
        _remember(ctx, found.file.id, str(error))
        raise
    except Refused as error:
        if error.code not in _BAD_PARTS:
            raise
        problem = f"S3 does not make an object of these parts: {error.code}."
        _remember(ctx, found.file.id, problem)
        raise NotArrived(problem) from error


def _admit(ctx: Context, found: OpenUpload, held: Sequence[Part], parts: Sequence[Part]) -> None:
    """Save what the object is made of, for a client that asks again. A size that was not announced is checked first."""
    upload, sizes = found.upload, {part.number: part.size for part in held}
    measured = [replace(part, size=sizes.get(part.number, 0)) for part in parts]
    with ctx.transaction() as tx:
        if upload.size is None:
            settle_size(tx, found.file, sum(part.size for part in measured), upload.media_type)
        uploads.save_parts(tx.session, found.file.id, measured)


def _incomplete(upload: UploadState, held: Sequence[Part], parts: Sequence[Part]) -> str | None:
    """Why these parts are not the announced object; None if they may be."""
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


def _remember(ctx: Context, file_id: UUID, problem: str) -> None:
    with ctx.transaction() as tx:
        uploads.change_upload(tx.session, file_id, problem=problem)
