"""Uploads that go straight to S3: the API signs, S3 enforces what was signed, and its events tell what came.

The row comes first (``pending``), with a reservation of the bytes. Every later step can be repeated or left out, and
may come before or after the event. A client that never calls `complete` still has its file as soon as the event is
recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from chalicelib.catalog.files import File, UploadMethod
from chalicelib.catalog.objects import Part, SignedRequest
from chalicelib.catalog.parts import MAX_SINGLE_BYTES, part_count
from chalicelib.db import uploads
from chalicelib.db.files import find_duplicate, forget_pending
from chalicelib.errors import (
    Conflict,
    FieldProblem,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    StoreUnavailable,
    StoreUncertain,
)
from chalicelib.services.accounts.policies import policies_for
from chalicelib.services.accounts.trail import note
from chalicelib.services.context import Context, Transaction
from chalicelib.services.uploads.completion import OpenUpload, open_upload, record_if_there
from chalicelib.services.uploads.parts import SignedPart, reserve_parts
from chalicelib.services.uploads.parts import sign_parts as sign
from chalicelib.services.uploads.reservations import Reservation, UploadRequest, reserve, time_for_bytes

# A larger duplicate is offered, but not copied within a request.
_MAX_COPIED = 1024**3


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """How to send a file's bytes.

    ``put`` and ``post`` have a ``request`` to send until ``link_expires_at``. ``multipart`` has parts of ``part_size`` bytes,
    the last one shorter, ``part_count`` of them; they are signed in batches by `sign_parts`. Until ``expires_at`` all of it
    can be signed anew; after that the upload counts as abandoned.
    """

    method: UploadMethod
    expires_at: datetime
    request: SignedRequest | None = None
    link_expires_at: datetime | None = None
    upload_id: str | None = None
    part_size: int | None = None
    part_count: int | None = None


@dataclass(frozen=True, slots=True)
class PlannedUpload:
    """A file, and how to send its bytes; None if it has them already. ``duplicate`` is a stored file with the same bytes."""

    file: File
    plan: UploadPlan | None
    duplicate: File | None = None


def begin(ctx: Context, request: UploadRequest, dedupe: bool = False) -> PlannedUpload:
    """A new ``pending`` file, how to send its bytes, and a duplicate of it, if the caller has one.

    ``dedupe``: if there is a duplicate, make the file a copy of it, so that no bytes need to be sent.

    Raises:
        AgainstPolicy, OverQuota: see `reserve`. StoreUnavailable: a multipart upload could not be begun; no file was
            made.
    """
    if request.chosen_method != "multipart" and (request.size or 0) > MAX_SINGLE_BYTES:
        problem = FieldProblem("body", "method", "S3 takes more than 5 GiB in parts only.")
        raise InvalidInput("Wrong: body method.", (problem,))
    with ctx.transaction() as tx:
        duplicate = None
        if request.sha256 is not None:
            duplicate = find_duplicate(tx.session, tx.principal.itself, request.sha256, request.size)
        copied = duplicate if dedupe and duplicate and (duplicate.size or 0) <= _MAX_COPIED else None
        if copied is not None:
            media_type = request.media_type or copied.media_type
            request = replace(request, method="put", size=copied.size, media_type=media_type)
        (reservation,) = reserve(tx, [request])
        note(tx, "upload", [reservation.file_id])
    if copied is not None and (copy := _copy(ctx, reservation, copied)):
        return PlannedUpload(copy, None, duplicate)
    if request.chosen_method == "multipart":
        _begin_multipart(ctx, reservation)
    return replace(_planned(ctx, reservation.file_id), duplicate=duplicate)


def renew(ctx: Context, file_id: UUID) -> PlannedUpload:
    """The same upload with fresh links, and as much time as at its beginning.

    Raises:
        NotFound: there is no such file for this caller. Conflict: it doesn't wait for bytes.
    """
    with ctx.transaction() as tx:
        found = open_upload(tx, file_id)
        expires_at = tx.now + time_for_bytes(tx.settings, found.upload.method, found.upload.size)
        uploads.change_upload(tx.session, file_id, expires_at=expires_at)
    if found.upload.method == "multipart":
        _begin_again_if_lost(ctx, found)
    return _planned(ctx, file_id)


def sign_parts(ctx: Context, file_id: UUID, numbers: Sequence[int], bytes_each: int | None = None) -> list[SignedPart]:
    """Links to PUT these parts of a multipart upload, of ``bytes_each`` bytes where no size was announced for the whole.

    Raises:
        NotFound: there is no such file for this caller. Conflict: it doesn't wait for parts.
        InvalidInput: the plan has no part of such a number. AgainstPolicy, OverQuota: the parts would be too much.
    """
    found = _open_multipart(ctx, file_id)
    if found.upload.size is None:
        reserve_parts(ctx, found.file, found.upload, numbers if bytes_each else (), bytes_each or 0)
    try:
        return sign(ctx, found.file.location, found.upload, numbers, bytes_each)
    except InvalidInput as error:
        raise InvalidInput(str(error), (FieldProblem("body", "part_numbers", str(error)),)) from None


def list_parts(ctx: Context, file_id: UUID) -> list[Part]:
    """The parts that S3 holds of an upload that isn't complete: what a client that resumes need not send again.

    Raises:
        NotFound: there is no such file for this caller. Conflict: it doesn't wait for parts, or S3 has forgotten them.
    """
    found = _open_multipart(ctx, file_id)
    try:
        return ctx.store.multipart.list_parts(*found.file.location, found.multipart_id)
    except NotFound:
        raise Conflict("S3 holds no such multipart upload any more: it was completed, or aborted.") from None


def _copy(ctx: Context, reservation: Reservation, duplicate: File) -> File | None:
    """Store the pending file as a copy of ``duplicate``; returns None if that has changed at this moment."""
    try:
        ctx.store.copier.copy(duplicate.source, *reservation.location, reservation.request.media_type)
    except (NotFound, PreconditionFailed):
        return None
    except StoreUncertain:
        raise  # the copy may be there: the row waits for its event, or for the clock
    except StoreUnavailable:
        _forget(ctx, reservation)
        raise
    return record_if_there(ctx, reservation.file_id, reservation.location)


def _begin_multipart(ctx: Context, reservation: Reservation) -> None:
    try:
        multipart_id = ctx.store.multipart.create(*reservation.location, reservation.request.media_type)
    except Exception:  # no row may wait for an upload that was never begun; the error is raised again
        _forget(ctx, reservation)
        raise
    with ctx.transaction() as tx:
        uploads.change_upload(tx.session, reservation.file_id, multipart_id=multipart_id)


def _forget(ctx: Context, reservation: Reservation) -> None:
    with ctx.transaction() as tx:
        forget_pending(tx.session, [reservation.file_id])


def _begin_again_if_lost(ctx: Context, found: OpenUpload) -> None:
    """Begin the multipart upload again if S3 has lost it: a lifecycle rule, or somebody else, may have aborted it."""
    upload_id, location = found.upload.multipart_id, found.file.location
    try:
        if upload_id is not None:
            ctx.store.multipart.list_parts(*location, upload_id)
            return
    except NotFound:
        pass
    upload_id = ctx.store.multipart.create(*location, found.upload.media_type)
    with ctx.transaction() as tx:
        uploads.change_upload(tx.session, found.file.id, multipart_id=upload_id)


def _planned(ctx: Context, file_id: UUID) -> PlannedUpload:
    with ctx.transaction() as tx:
        found = open_upload(tx, file_id)
        return PlannedUpload(found.file, _plan(tx, found))


def _plan(tx: Transaction, found: OpenUpload) -> UploadPlan:
    upload, seconds = found.upload, tx.settings.link_seconds
    plan = UploadPlan(upload.method, upload.expires_at)
    if upload.method == "multipart":
        count = None if upload.size is None else part_count(upload.size, upload.part_size or 1)
        return replace(plan, upload_id=upload.multipart_id, part_size=upload.part_size, part_count=count)
    if upload.method == "put":
        sign_put = tx.links.put
        signed = sign_put(*found.file.location, upload.size, upload.media_type, upload.sha256, seconds)
    else:
        min_bytes, max_bytes = _bounds(tx, found)
        sign_post = tx.links.post
        signed = sign_post(*found.file.location, min_bytes, max_bytes, upload.media_type, upload.sha256, seconds)
    until = min(tx.now + timedelta(seconds=seconds), upload.expires_at)
    return replace(plan, request=signed, link_expires_at=until)


def _bounds(tx: Transaction, found: OpenUpload) -> tuple[int, int]:
    """How many bytes a form may bring: at least, and at most."""
    if found.upload.size is not None:
        return found.upload.size, found.upload.size
    policies = policies_for(tx, tx.principal.itself, found.file.session_id)
    return 0, policies.bytes_left(tx, MAX_SINGLE_BYTES)


def _open_multipart(ctx: Context, file_id: UUID) -> OpenUpload:
    with ctx.transaction() as tx:
        found = open_upload(tx, file_id)
    found.require_parts()
    return found
