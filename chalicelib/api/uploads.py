"""Routes of uploads: straight to S3, or small ones through the API."""

import json
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from chalice.app import Blueprint

from chalicelib import runtime
from chalicelib.api import multipart_form, reading
from chalicelib.api.endpoint import JSON, Call, Reply, endpoint
from chalicelib.api.schemas.files import FileDetail, FileOut, FilePath, UploadFields, UploadForm
from chalicelib.api.schemas.uploads import FileBegun, FileCreate, PartsOut, PartsSign, SignedPartsOut, UploadComplete
from chalicelib.catalog.objects import Part
from chalicelib.db.file_queries import FileDocument
from chalicelib.errors import (
    AgainstPolicy,
    Conflict,
    FieldProblem,
    InvalidInput,
    MalformedBody,
    NotArrived,
    NotFound,
    OverQuota,
    StoreUnavailable,
    TooLarge,
    Unprocessable,
    UnsupportedMediaType,
)

if TYPE_CHECKING:
    from chalicelib.services.direct_uploads import Begun

# The services are imported by the views: their thread pools and the S3 types are needed here only, not by a list.

routes = Blueprint(__name__)


@routes.route("/api/files", methods=["POST"], **JSON)
@endpoint(
    body=FileCreate,
    response=FileBegun,
    status=201,
    errors=(Conflict, AgainstPolicy, OverQuota, Unprocessable, StoreUnavailable),
    transactional=False,
)
def create_file(call: Call[None, None, FileCreate]) -> Reply:
    """Announce a file, and learn how to send its bytes to S3.

    The file is `pending`, and becomes `stored` as soon as its object is there. `plan` says how to send it: one signed PUT
    (S3 takes the announced `size`, `media_type` and `sha256` only, and overwrites nothing), a form to POST, or parts. Send
    the bytes, then call `/complete`, or just wait. The file counts towards quotas from now on. To send small files in one
    request, use `/api/files/upload`.

    If the caller has a stored file of the same `sha256`, it is offered as `duplicate`; with `dedupe` the new file becomes a
    copy of it at once, and there is no `plan`.
    """
    from chalicelib.services import direct_uploads
    from chalicelib.services.pending import Announcement

    body = call.body
    wanted = direct_uploads.Wanted(
        name=body.name,
        media_type=body.media_type,
        size=body.size,
        sha256=body.sha256,
        method=body.method,
        said=Announcement(body.session_id, body.metadata, body.tags),
        dedupe=body.dedupe,
    )
    begun = direct_uploads.begin(runtime.transaction, runtime.store(), call.settings, call.principal, wanted, call.now)
    location = {"Location": f"{call.base_url}{call.url_path}/{begun.file['id']}"}
    return Reply(_begun_document(begun), 201, location)


@routes.route("/api/files/{file_id}/upload", methods=["POST"], **JSON)
@endpoint(path=FilePath, response=FileBegun, errors=(NotFound, Conflict, StoreUnavailable), transactional=False)
def renew_upload(call: Call[FilePath, None, None]) -> dict[str, Any]:
    """Get fresh links for a pending upload.

    The plan is as at the beginning, and its time starts anew.
    """
    from chalicelib.services import direct_uploads

    return _begun_document(
        direct_uploads.renew(
            runtime.transaction, runtime.store(), call.settings, call.principal, call.path.file_id, call.now
        )
    )


@routes.route("/api/files/{file_id}/parts", methods=["POST"], **JSON)
@endpoint(
    path=FilePath,
    body=PartsSign,
    response=SignedPartsOut,
    errors=(NotFound, Conflict, AgainstPolicy, OverQuota, StoreUnavailable),
    transactional=False,
)
def sign_parts(call: Call[FilePath, None, PartsSign]) -> dict[str, Any]:
    """Get links for parts of a multipart upload.

    PUT each part to its `url`, with exactly `size` bytes. Up to 1,000 parts at once. Of an upload whose size wasn't announced,
    what S3 holds counts towards quotas each time.
    """
    from chalicelib.services import direct_uploads

    numbers, size = call.body.part_numbers, call.body.size
    parts = direct_uploads.sign_parts(
        runtime.transaction, runtime.store(), call.settings, call.principal, call.path.file_id, numbers, size
    )
    return {"parts": parts, "link_expires_at": call.now + timedelta(seconds=call.settings.link_seconds)}


@routes.route("/api/files/{file_id}/parts", methods=["GET"], **JSON)
@endpoint(path=FilePath, response=PartsOut, errors=(NotFound, Conflict, StoreUnavailable), transactional=False)
def list_parts(call: Call[FilePath, None, None]) -> dict[str, Any]:
    """List the parts of a multipart upload that S3 holds.

    To resume, send the others.
    """
    from chalicelib.services import direct_uploads

    parts = direct_uploads.list_parts(runtime.transaction, runtime.store(), call.principal, call.path.file_id)
    return {"parts": parts}


@routes.route("/api/files/{file_id}/complete", methods=["POST"], **JSON)
@endpoint(
    path=FilePath,
    body=UploadComplete,
    response=FileDetail,
    errors=(NotFound, NotArrived, AgainstPolicy, OverQuota, StoreUnavailable),
    transactional=False,
)
def complete_upload(call: Call[FilePath, None, UploadComplete]) -> FileDocument:
    """Say that the bytes are sent, and read the stored file.

    Of a multipart upload, this makes the object. Safe to repeat, and to leave out for a single request: S3's event tells
    the same. 409 with the reason while the object isn't there.
    """
    from chalicelib.services import arrivals

    named = call.body.parts
    parts = None if named is None else [Part(part.number, part.etag, 0) for part in named]
    return arrivals.complete(
        runtime.transaction, runtime.store(), call.settings, call.principal, call.path.file_id, parts, call.now
    )


@routes.route("/api/files/upload", methods=["POST"], **JSON)
@endpoint(
    response=list[FileOut],
    status=201,
    content_types=("multipart/form-data",),
    raw_body=UploadForm,
    errors=(
        InvalidInput,
        MalformedBody,
        TooLarge,
        UnsupportedMediaType,
        Conflict,
        AgainstPolicy,
        OverQuota,
        Unprocessable,
        StoreUnavailable,
    ),
    transactional=False,
)
def upload_files(call: Call[None, None, None]) -> list[FileDocument]:
    """Upload files through the API.

    All or none are stored, and recorded at once. Up to 4,500,000 bytes and 100 parts in all; larger files go straight
    to S3. Each call makes new files, whatever their names and bytes.
    """
    from chalicelib.services import uploads
    from chalicelib.services.pending import Announcement

    form = multipart_form.parse_form(call.raw_body, call.content_type)
    said = _upload_fields(form)
    upload = uploads.Upload(
        [uploads.IncomingFile(part.name, part.media_type, part.body) for part in form.files],
        Announcement(said.session_id, said.metadata, said.tags),
    )
    return uploads.upload_files(runtime.transaction, runtime.store(), call.settings, call.principal, upload, call.now)


def _begun_document(begun: "Begun") -> dict[str, Any]:
    """The file with its plan, in which the parts of the one request stand beside the rest."""
    plan = None
    if begun.plan is not None:
        plan = asdict(begun.plan)
        request = plan.pop("request") or {}
        plan |= {name: request[name] for name in ("url", "headers", "fields") if name in request}
    return begun.file | {"plan": plan, "duplicate": begun.twin}


def _upload_fields(form: multipart_form.Form) -> UploadFields:
    """The form's fields, validated as the JSON document that they amount to."""
    if not form.files:
        raise MalformedBody("The form holds no file: give at least one part a file name.")
    repeated = [name for name, values in form.fields.items() if len(values) > 1 and name != "tags"]
    if repeated:
        problems = tuple(FieldProblem("body", name, "Given more than once.") for name in repeated)
        raise InvalidInput("A field of the form is given more than once.", problems)
    # A browser sends every field of a form: one that was left empty says nothing.
    fields = {name: said for name, values in form.fields.items() if (said := [value for value in values if value])}
    document: dict[str, Any] = {name: values[0] for name, values in fields.items()}
    if "names" in document:
        raise InvalidInput("Wrong: body names.", (FieldProblem("body", "names", "Unknown field."),))
    document |= {"names": [part.name for part in form.files]}
    if "tags" in fields:
        document["tags"] = fields["tags"]
    if "metadata" in fields:
        document["metadata"] = _json_field("metadata", fields["metadata"][0])
    return reading.read_body(UploadFields, json.dumps(document).encode())


def _json_field(name: str, text: str) -> Any:
    try:
        return reading.parse_json(text)
    except MalformedBody as error:
        problems: tuple[FieldProblem, ...] = (FieldProblem("body", name, str(error).replace("The body", "The field")),)
    except InvalidInput as error:
        problems = tuple(replace(problem, field=f"{name}.{problem.field}") for problem in error.problems)
    raise InvalidInput(f"Wrong: body {name}.", problems)
