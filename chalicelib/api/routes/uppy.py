"""Routes for Uppy: those of Companion's `/s3`, and the one that `signRequest` calls. See docs/uploads.md."""

from typing import Any

from chalicelib.api.http import reading
from chalicelib.api.http.endpoint import WRITE, StepwiseCall, stepwise_endpoint
from chalicelib.api.schemas.uppy import (
    BatchQuery,
    CompletedOut,
    FormOut,
    HeldPartOut,
    KeyQuery,
    MultipartComplete,
    MultipartCreate,
    MultipartOut,
    ParamsQuery,
    PartPath,
    PartUrlOut,
    PartUrlsOut,
    SaidFile,
    SessionNamed,
    SignedOut,
    SignRequest,
    UploadPath,
    without_uppys_own,
)
from chalicelib.catalog.objects import Part
from chalicelib.errors import (
    AgainstPolicy,
    Conflict,
    Forbidden,
    NotArrived,
    NotFound,
    OverQuota,
    StoreUnavailable,
    Unprocessable,
)
from chalicelib.services.accounts.memberships import acting_in_session
from chalicelib.services.context import Context
from chalicelib.services.uploads import uppy
from chalicelib.services.uploads.reservations import Description, UploadRequest
from chalicelib.services.uploads.uppy import RequestToSign, UploadKey

_BEGIN_ERRORS = (NotFound, Forbidden, Conflict, AgainstPolicy, OverQuota, Unprocessable, StoreUnavailable)
_PART_ERRORS = (NotFound, Forbidden, AgainstPolicy, OverQuota, StoreUnavailable)


@stepwise_endpoint(needs=WRITE, right="editor", query=ParamsQuery, response=FormOut, errors=_BEGIN_ERRORS)
def get_form(call: StepwiseCall[None, ParamsQuery, None]) -> dict[str, Any]:
    """Get a form to send a file in one request (Uppy Companion).

    The file is `pending` under `fields.key`. Its size isn't known yet, so S3 takes as many bytes as the policies allow.
    """
    query = call.query
    planned = uppy.begin(*_upload(call, query.filename, query.type, query.metadata(), method="post"))
    assert planned.plan is not None
    assert planned.plan.request is not None
    signed = planned.plan.request
    return {"method": "POST", "url": signed.url, "fields": signed.fields, "expires": call.ctx.settings.link_seconds}


@stepwise_endpoint(right="editor", body=MultipartCreate, response=MultipartOut, errors=_BEGIN_ERRORS)
def create_multipart(call: StepwiseCall[None, None, MultipartCreate]) -> dict[str, Any]:
    """Begin to send a file in parts (Uppy Companion)."""
    body = call.body
    planned = uppy.begin(*_upload(call, body.filename, body.type, body.metadata, method="multipart"))
    assert planned.plan is not None
    return {"key": planned.file.key, "uploadId": planned.plan.upload_id, "bucket": planned.file.bucket}


@stepwise_endpoint(
    right="editor",
    path=UploadPath,
    query=KeyQuery,
    response=list[HeldPartOut],
    errors=(NotFound, Forbidden, StoreUnavailable),
)
def list_held_parts(call: StepwiseCall[UploadPath, KeyQuery, None]) -> list[dict[str, Any]]:
    """List the parts that S3 holds (Uppy Companion).

    If the upload is complete, these are the parts that the object was made of.
    """
    parts = uppy.list_parts(call.ctx, _key_of(call))
    return [{"PartNumber": part.number, "ETag": part.etag, "Size": part.size} for part in parts]


@stepwise_endpoint(
    right="editor",
    path=UploadPath,
    query=KeyQuery,
    response=dict[str, str],
    errors=(NotFound, Forbidden, StoreUnavailable),
)
def abort_multipart(call: StepwiseCall[UploadPath, KeyQuery, None]) -> dict[str, str]:
    """Give up an upload (Uppy Companion).

    A complete upload stays: the client just hasn't learnt that it is complete.
    """
    uppy.abort(call.ctx, _key_of(call))
    return {}


@stepwise_endpoint(
    needs=WRITE, right="editor", path=UploadPath, query=BatchQuery, response=PartUrlsOut, errors=_PART_ERRORS
)
def sign_some_parts(call: StepwiseCall[UploadPath, BatchQuery, None]) -> dict[str, Any]:
    """Get links for parts (Uppy Companion)."""
    numbers = [int(number) for number in call.query.partNumbers.split(",")]
    return {"presignedUrls": uppy.sign_parts(call.ctx, _key_of(call), numbers)}


@stepwise_endpoint(
    right="editor",
    path=UploadPath,
    query=KeyQuery,
    body=MultipartComplete,
    response=CompletedOut,
    errors=(NotFound, Forbidden, NotArrived, AgainstPolicy, OverQuota, StoreUnavailable),
)
def complete_multipart(call: StepwiseCall[UploadPath, KeyQuery, MultipartComplete]) -> dict[str, Any]:
    """Make the object of its parts (Uppy Companion).

    Safe to repeat. `id` is the file's.
    """
    parts = [Part(part.PartNumber, part.ETag, 0) for part in call.body.parts]
    file = uppy.complete(call.ctx, _key_of(call), parts)
    location = call.ctx.links.location(*file.location)
    return {"location": location, "key": file.key, "bucket": file.bucket, "id": str(file.id)}


@stepwise_endpoint(needs=WRITE, right="editor", path=PartPath, query=KeyQuery, response=PartUrlOut, errors=_PART_ERRORS)
def sign_part(call: StepwiseCall[PartPath, KeyQuery, None]) -> dict[str, Any]:
    """Get a link for a part (Uppy Companion)."""
    number = call.path.part_number
    url = uppy.sign_parts(call.ctx, _key_of(call), [number])[number]
    return {"url": url, "expires": call.ctx.settings.link_seconds}


@stepwise_endpoint(right="editor", body=SignRequest, response=SignedOut, errors=_BEGIN_ERRORS)
def sign_request(call: StepwiseCall[None, None, SignRequest]) -> dict[str, Any]:
    """Sign one request to S3 (Uppy's `signRequest`).

    The first request of an upload (PUT or POST of a key, without `uploadId`) makes the file, under the `key` of the
    answer. All later requests are for keys of the caller's files. `file` may say more than Uppy does by itself: name,
    size, type, meta.
    """
    body = call.body
    fields = body.file or SaidFile()
    name, media_type = fields.name or uppy.name_in(body.key), fields.type or body.contentType
    sizes = {"size": fields.size, "sha256": fields.sha256, "part_bytes": fields.partSize}
    ctx, upload = _upload(call, name, media_type, fields.meta, **sizes)
    signed = uppy.sign(ctx, RequestToSign(body.method, body.key, upload, body.uploadId, body.partNumber))
    request = signed.request
    return {
        "method": request.method,
        "url": request.url,
        "key": signed.key,
        "headers": request.headers,
        "fields": request.fields or None,
    }


def _key_of(call: StepwiseCall[Any, Any, Any]) -> UploadKey:
    return UploadKey(call.query.key, call.path.upload_id)


def _upload(
    call: StepwiseCall[Any, Any, Any], name: str, media_type: str | None, metadata: dict[str, Any], **more: Any
) -> tuple[Context, UploadRequest]:
    """The upload request for a file, from what Uppy says about it, and a context that acts in the session that it names."""
    kept = without_uppys_own(metadata)
    names = {field: kept.pop(field, None) for field in ("session_id", "owner_id")}
    named = reading.read_document(SessionNamed, names, "metadata")
    ctx = acting_in_session(call.ctx, named.owner_id, named.session_id, "editor")
    return ctx, UploadRequest(name, media_type or None, description=Description(named.session_id, kept), **more)
