"""Routes for Uppy: those of Companion's `/s3`, and the one that `signRequest` asks. See docs/uploads.md.

`batch` and `complete` are registered before the part's number, which would match them too.
"""

from typing import TYPE_CHECKING, Any

from chalice.app import Blueprint

from chalicelib import runtime
from chalicelib.api import reading
from chalicelib.api.endpoint import JSON, Call, endpoint
from chalicelib.api.schemas.companion import (
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
from chalicelib.errors import AgainstPolicy, Conflict, NotArrived, NotFound, OverQuota, StoreUnavailable, Unprocessable

if TYPE_CHECKING:
    from chalicelib.services.direct_uploads import Wanted

routes = Blueprint(__name__)

_BEGIN_ERRORS = (Conflict, AgainstPolicy, OverQuota, Unprocessable, StoreUnavailable)
_PART_ERRORS = (NotFound, AgainstPolicy, OverQuota, StoreUnavailable)


@routes.route("/s3/params", methods=["GET"], **JSON)
@endpoint(query=ParamsQuery, response=FormOut, errors=_BEGIN_ERRORS, transactional=False)
def get_form(call: Call[None, ParamsQuery, None]) -> dict[str, Any]:
    """Get a form to send a file in one request (Uppy Companion).

    The file is `pending` under `fields.key`. Its size isn't known yet: S3 takes as much as the policies leave room for.
    """
    from chalicelib.services import companion

    wanted = _wanted(call.query.filename, call.query.type, call.query.metadata(), method="post")
    begun = companion.begin(runtime.transaction, runtime.store(), call.settings, call.principal, wanted, call.now)
    assert begun.plan is not None
    assert begun.plan.request is not None
    signed = begun.plan.request
    return {"method": "POST", "url": signed.url, "fields": signed.fields, "expires": call.settings.link_seconds}


@routes.route("/s3/multipart", methods=["POST"], **JSON)
@endpoint(
    body=MultipartCreate,
    response=MultipartOut,
    errors=_BEGIN_ERRORS,
    transactional=False,
)
def create_multipart(call: Call[None, None, MultipartCreate]) -> dict[str, Any]:
    """Begin to send a file in parts (Uppy Companion)."""
    from chalicelib.services import companion

    wanted = _wanted(call.body.filename, call.body.type, call.body.metadata, method="multipart")
    begun = companion.begin(runtime.transaction, runtime.store(), call.settings, call.principal, wanted, call.now)
    assert begun.plan is not None
    return {"key": begun.file["key"], "uploadId": begun.plan.upload_id, "bucket": begun.file["bucket"]}


@routes.route("/s3/multipart/{upload_id}", methods=["GET"], **JSON)
@endpoint(
    path=UploadPath,
    query=KeyQuery,
    response=list[HeldPartOut],
    errors=(NotFound, StoreUnavailable),
    transactional=False,
)
def list_held_parts(call: Call[UploadPath, KeyQuery, None]) -> list[dict[str, Any]]:
    """List the parts that S3 holds (Uppy Companion).

    Of a complete upload, those that it was made of.
    """
    from chalicelib.services import companion

    parts = companion.list_parts(
        runtime.transaction, runtime.store(), call.settings, call.principal, call.query.key, call.path.upload_id
    )
    return [{"PartNumber": part.number, "ETag": part.etag, "Size": part.size} for part in parts]


@routes.route("/s3/multipart/{upload_id}", methods=["DELETE"], **JSON)
@endpoint(
    path=UploadPath, query=KeyQuery, response=dict[str, str], errors=(NotFound, StoreUnavailable), transactional=False
)
def abort_multipart(call: Call[UploadPath, KeyQuery, None]) -> dict[str, str]:
    """Give up an upload (Uppy Companion).

    A complete one stays: the client only didn't hear that it is.
    """
    from chalicelib.services import companion

    companion.abort(
        runtime.transaction,
        runtime.store(),
        call.settings,
        call.principal,
        call.query.key,
        call.path.upload_id,
        call.now,
    )
    return {}


@routes.route("/s3/multipart/{upload_id}/batch", methods=["GET"], **JSON)
@endpoint(path=UploadPath, query=BatchQuery, response=PartUrlsOut, errors=_PART_ERRORS, transactional=False)
def sign_some_parts(call: Call[UploadPath, BatchQuery, None]) -> dict[str, Any]:
    """Get links for parts (Uppy Companion)."""
    numbers = [int(number) for number in call.query.partNumbers.split(",")]
    return {"presignedUrls": _part_urls(call, numbers)}


@routes.route("/s3/multipart/{upload_id}/complete", methods=["POST"], **JSON)
@endpoint(
    path=UploadPath,
    query=KeyQuery,
    body=MultipartComplete,
    response=CompletedOut,
    errors=(NotFound, NotArrived, AgainstPolicy, OverQuota, StoreUnavailable),
    transactional=False,
)
def complete_multipart(call: Call[UploadPath, KeyQuery, MultipartComplete]) -> dict[str, Any]:
    """Make the object of its parts (Uppy Companion).

    Safe to repeat. `id` is the file's.
    """
    from chalicelib.services import companion

    store, key = runtime.store(), call.query.key
    parts = [Part(part.PartNumber, part.ETag, 0) for part in call.body.parts]
    file = companion.complete(
        runtime.transaction, store, call.settings, call.principal, key, call.path.upload_id, parts, call.now
    )
    location = store.links.location(file["bucket"], key)
    return {"location": location, "key": key, "bucket": file["bucket"], "id": file["id"]}


@routes.route("/s3/multipart/{upload_id}/{part_number}", methods=["GET"], **JSON)
@endpoint(path=PartPath, query=KeyQuery, response=PartUrlOut, errors=_PART_ERRORS, transactional=False)
def sign_part(call: Call[PartPath, KeyQuery, None]) -> dict[str, Any]:
    """Get a link for a part (Uppy Companion)."""
    number = call.path.part_number
    return {"url": _part_urls(call, [number])[number], "expires": call.settings.link_seconds}


@routes.route("/api/uploads/sign", methods=["POST"], **JSON)
@endpoint(
    body=SignRequest,
    response=SignedOut,
    errors=(NotFound, *_BEGIN_ERRORS),
    transactional=False,
)
def sign_request(call: Call[None, None, SignRequest]) -> dict[str, Any]:
    """Sign one request to S3 (Uppy's `signRequest`).

    The first request of an upload (PUT or POST of a key, without `uploadId`) makes the file, under the `key` of the answer.
    All others are for keys of the caller's own. `file` may say more than Uppy does by itself: name, size, type, meta.
    """
    from chalicelib.services import companion

    body = call.body
    said = body.file or SaidFile()
    name = said.name or companion.name_in(body.key)
    wanted = _wanted(name, said.type or body.contentType, said.meta, size=said.size, sha256=said.sha256)
    asked = companion.Asked(body.method, body.key, body.uploadId, body.partNumber, said.partSize, wanted)
    signed = companion.sign(runtime.transaction, runtime.store(), call.settings, call.principal, asked, call.now)
    request = signed.request
    return {
        "method": request.method,
        "url": request.url,
        "key": signed.key,
        "headers": request.headers,
        "fields": request.fields or None,
    }


def _part_urls(call: Call[Any, Any, None], numbers: list[int]) -> dict[int, str]:
    from chalicelib.services import companion

    return companion.sign_parts(
        runtime.transaction,
        runtime.store(),
        call.settings,
        call.principal,
        call.query.key,
        call.path.upload_id,
        numbers,
    )


def _wanted(name: str, media_type: str | None, metadata: dict[str, Any], **more: Any) -> "Wanted":
    """The file that Uppy tells of, in the API's own words."""
    from chalicelib.services.direct_uploads import Wanted
    from chalicelib.services.pending import Announcement

    kept = without_uppys_own(metadata)
    named = reading.read_document(SessionNamed, {"session_id": kept.pop("session_id", None)}, "metadata")
    return Wanted(name=name, media_type=media_type or None, said=Announcement(named.session_id, kept), **more)
