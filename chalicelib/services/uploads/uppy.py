"""Uploads by clients that speak Uppy's two protocols: Companion's `/s3`, and `signRequest`.

Both know a file only by its key, and begin without saying a size. So every request is checked against the file's row.
What can't be checked at the beginning is checked at the end: see `settle_size` and
`chalicelib/services/upkeep/judging.py`. Contracts, checked against @uppy/aws-s3 5.1 and 6.3: docs/uploads.md.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from chalicelib.catalog.files import File, UploadState
from chalicelib.catalog.objects import Location, Part, SignedRequest
from chalicelib.catalog.parts import MAX_PARTS, MAX_SINGLE_BYTES, uppys_part_size
from chalicelib.db import uploads
from chalicelib.db.files import find_file_at, forget_pending, mark_deleted
from chalicelib.errors import InvalidInput, NotFound
from chalicelib.services.accounts.policies import policies_for
from chalicelib.services.accounts.trail import note
from chalicelib.services.context import Context, Transaction
from chalicelib.services.files.reading import visible_file
from chalicelib.services.uploads import completion, direct, parts
from chalicelib.services.uploads.direct import PlannedUpload
from chalicelib.services.uploads.reservations import UploadRequest, abort_parts, reserve

Verb = Literal["GET", "PUT", "POST", "DELETE"]
# Uppy proposes `${crypto.randomUUID()}-${file.name}`.
_PROPOSED = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-(?=.)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class UploadKey:
    """What Uppy knows an upload by: the file's key, and S3's own id of the multipart upload."""

    key: str
    upload_id: str


@dataclass(frozen=True, slots=True)
class RequestToSign:
    """One `signRequest`. ``upload`` is what the client says about the file, if it says anything."""

    verb: Verb
    key: str
    upload: UploadRequest
    upload_id: str | None = None
    part_number: int | None = None


@dataclass(frozen=True, slots=True)
class SignedForKey:
    """A signed request, and the key that it is for: the server's, whatever the client proposed."""

    request: SignedRequest
    key: str


def name_in(proposed_key: str) -> str:
    """The file's name in a key that Uppy proposes.

    >>> name_in("0b3d1c6e-8a55-4c5e-9d0b-1f2e3a4b5c6d-Übersicht 1.pdf")
    'Übersicht 1.pdf'
    """
    return _PROPOSED.sub("", proposed_key)[:255] or "file"


def begin(ctx: Context, request: UploadRequest) -> PlannedUpload:
    """A new upload, or the one that was begun with the same ``client_key``, as long as its bytes haven't come.

    Raises: see `direct.begin`.
    """
    if request.client_key is not None:
        with ctx.transaction() as tx:
            known = _known(tx, request)
        if known is not None:
            return direct.renew(ctx, known)
    return direct.begin(ctx, request)


def list_parts(ctx: Context, upload: UploadKey) -> list[Part]:
    """The parts of an upload that S3 holds. If the upload is complete, the parts that the object was made of.

    Raises:
        NotFound: the caller has no such upload.
    """
    with ctx.transaction() as tx:
        file, _ = _own(tx, upload)
        row = uploads.find_upload(tx.session, tx.scope, file.id)
    if row is not None and (row.closed_at is not None or file.state != "pending"):
        return row.parts
    return ctx.store.multipart.list_parts(*file.location, upload.upload_id)


def sign_parts(ctx: Context, upload: UploadKey, numbers: Sequence[int]) -> dict[int, str]:
    """Links to PUT these parts, by their numbers. Where the file's size was announced, each part's length is signed.

    Raises:
        NotFound: the caller has no such upload. InvalidInput: the file has no part of such a number, or S3 takes none.
        AgainstPolicy, OverQuota: no size was announced, and S3 holds too much of it by now.
    """
    with ctx.transaction() as tx:
        file, row = _own(tx, upload)
    return _sign_parts(ctx, file, row, numbers)


def _sign_parts(ctx: Context, file: File, row: UploadState, numbers: Sequence[int]) -> dict[int, str]:
    if not all(1 <= number <= MAX_PARTS for number in numbers):
        raise InvalidInput(f"S3 numbers parts from 1 to {MAX_PARTS}.")
    if row.size is None and file.state == "pending":
        parts.reserve_parts(ctx, file, row)
    return {part.number: part.url for part in parts.sign_parts(ctx, file.location, row, numbers)}


def complete(ctx: Context, upload: UploadKey, named: Sequence[Part]) -> File:
    """The stored file; see `completion.complete`.

    Raises:
        NotFound: the caller has no such upload.
    """
    with ctx.transaction() as tx:
        file, _ = _own(tx, upload)
    return completion.complete(ctx, file.id, named)


def abort(ctx: Context, upload: UploadKey) -> None:
    """Throw away an upload and its file. A stored file stays: the client just hasn't learnt that it is stored.

    Raises:
        NotFound: the caller has no such upload.
    """
    with ctx.transaction() as tx:
        file, _ = _own(tx, upload)
        if file.state != "pending":
            return
        note(tx, "abort", [file.id])
    are_gone = abort_parts(ctx, file)
    # S3 may have made the object without telling us.
    if completion.record_if_there(ctx, file.id, file.location) is None:
        with ctx.transaction() as tx:
            if are_gone:
                forget_pending(tx.session, [file.id])
            else:  # the tombstone, whose time is up, has the clock abort the rest
                mark_deleted(tx.session, [file.id], tx.now)
                uploads.change_upload(tx.session, file.id, size=None, expires_at=tx.now)


def sign(ctx: Context, to_sign: RequestToSign) -> SignedForKey:
    """Sign one request of a client that talks to S3 itself.

    The first request of an upload makes the file. Every later one must be for the key of one of the caller's files.

    Raises:
        AgainstPolicy, OverQuota: see `reserve`. NotFound: the caller has no such file.
        InvalidInput: S3 has no such operation, or none that is signed here.
    """
    match to_sign.verb, to_sign.upload_id, to_sign.part_number:
        case "PUT", None, None:
            return _sign_put(ctx, to_sign)
        case "POST", None, None:
            return _sign_create(ctx, to_sign)
        case "DELETE", None, None:
            return _sign_delete(ctx, to_sign.key)
        case "PUT", str(upload_id), int(number):
            file, row = _note_upload(ctx, UploadKey(to_sign.key, upload_id))
            if row.multipart_id != upload_id:
                raise NotFound("There is no such upload.")
            return SignedForKey(SignedRequest("PUT", _sign_parts(ctx, file, row, [number])[number]), to_sign.key)
        case (("GET" | "POST" | "DELETE"), str(upload_id), None):
            # Whoever lists or aborts an upload doesn't go on with it.
            file, _ = _note_upload(ctx, UploadKey(to_sign.key, upload_id), notes=to_sign.verb == "POST")
            if to_sign.verb == "DELETE" and file.state == "pending":
                with ctx.transaction() as tx:
                    note(tx, "abort", [file.id])
            links, seconds = ctx.links, ctx.settings.link_seconds
            signer = {"GET": links.list_parts, "POST": links.complete_multipart, "DELETE": links.abort_multipart}
            return SignedForKey(signer[to_sign.verb](ctx.settings.bucket, to_sign.key, upload_id, seconds), to_sign.key)
    raise InvalidInput(f"S3 has no operation of {to_sign.verb} with these parameters that is signed here.")


def _sign_put(ctx: Context, to_sign: RequestToSign) -> SignedForKey:
    """Sign one PUT, or a form if the size must be limited and isn't known: a PUT can't be signed for "at most".

    The PUT has no `If-None-Match`: after a lost answer Uppy sends the same request again, and would take 412 for a
    failure.
    """
    request = replace(to_sign.upload, method="put", client_key=to_sign.key)
    planned = begin(ctx, request)
    links, location, seconds = ctx.links, planned.file.location, ctx.settings.link_seconds
    if request.size is None:
        with ctx.transaction() as tx:
            policies = policies_for(tx, tx.principal.itself, planned.file.session_id)
            max_bytes = policies.bytes_left(tx, MAX_SINGLE_BYTES)
        if max_bytes < MAX_SINGLE_BYTES:
            return SignedForKey(links.post(*location, 0, max_bytes, request.media_type, None, seconds), location.key)
    put = links.put(*location, request.size, request.media_type, request.sha256, seconds, overwrite=True)
    return SignedForKey(put, location.key)


def _sign_create(ctx: Context, to_sign: RequestToSign) -> SignedForKey:
    """Sign the beginning of a multipart upload. The client sends it itself, so we learn the id from its next request."""
    part_bytes = to_sign.upload.part_bytes or uppys_part_size(to_sign.upload.size or 0)
    # S3 verifies no SHA-256 of a whole that is made of parts.
    upload = replace(to_sign.upload, sha256=None, part_bytes=part_bytes)
    request = replace(upload, method="multipart", client_key=to_sign.key)
    with ctx.transaction() as tx:
        known = _known(tx, request)
        if known:  # as much time as at the beginning
            expires_at = tx.now + request.patience(tx.settings)
            uploads.change_upload(tx.session, known, expires_at=expires_at)
        location = visible_file(tx, known).location if known else _reserve(tx, request)
    # Uppy sends the file's own type, which it doesn't tell here: signing another one would make S3 refuse it.
    signed = ctx.links.create_multipart(*location, request.media_type, ctx.settings.link_seconds)
    return SignedForKey(signed, location.key)


def _reserve(tx: Transaction, request: UploadRequest) -> Location:
    (reservation,) = reserve(tx, [request])
    note(tx, "upload", [reservation.file_id])
    return reservation.location


def _sign_delete(ctx: Context, key: str) -> SignedForKey:
    with ctx.transaction() as tx:
        file = _own_file(tx, key)
        note(tx, "delete", [file.id])
    return SignedForKey(ctx.links.delete(*file.location, ctx.settings.link_seconds), key)


def _known(tx: Transaction, request: UploadRequest) -> UUID | None:
    """The caller's pending file with the same proposed key and the same announced size, type and SHA-256."""
    announced = request.size, request.media_type, request.sha256
    owner = tx.principal.itself
    place = replace(owner, session_id=request.description.session_id or owner.session_id)
    return uploads.find_same_pending(tx.session, place, request.client_key or "", *announced)


def _own_file(tx: Transaction, key: str) -> File:
    file = find_file_at(tx.session, tx.scope, tx.settings.bucket, key)
    if file is None:
        raise NotFound("There is no such upload.")
    return file


def _own(tx: Transaction, upload: UploadKey) -> tuple[File, UploadState]:
    file = _own_file(tx, upload.key)
    row = _upload_of(tx, file)
    if row is None or row.multipart_id != upload.upload_id:
        raise NotFound("There is no such upload.")
    return file, row


def _upload_of(tx: Transaction, file: File) -> UploadState | None:
    """How the file's bytes come or have come; None if that isn't known any more."""
    return file.upload or uploads.find_upload(tx.session, tx.scope, file.id)


def _note_upload(
    ctx: Context, upload: UploadKey, *, notes: bool = True, is_checked: bool = False
) -> tuple[File, UploadState]:
    """Note the id of the multipart upload that the client began, if ``notes``; look whether it may have begun it.

    S3 itself refuses the id of an upload to another key.

    Once the file is stored, requests are signed only for the upload that made it: another one would overwrite the file.

    ``is_checked``: `check_further_upload` has let it pass, if the client has begun another one before. S3 is asked for that, so
    no transaction is open meanwhile.
    """
    with ctx.transaction() as tx:
        file = _own_file(tx, upload.key)
        row = _upload_of(tx, file)
        is_same = row is not None and row.multipart_id == upload.upload_id
        if row is None or (file.state != "pending" and not (file.state == "stored" and is_same)):
            raise NotFound("There is no such upload.")
        if row.method != "multipart" or is_same or not notes:
            return file, row
        if is_checked or row.multipart_id is None:
            uploads.change_upload(tx.session, file.id, multipart_id=upload.upload_id)
            return file, replace(row, multipart_id=upload.upload_id)
    parts.check_further_upload(ctx, file)
    return _note_upload(ctx, upload, is_checked=True)
