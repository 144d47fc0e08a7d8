"""Routes of uploads: straight to S3, or small ones through the API."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from chalicelib.api.http import documents, multipart_form, reading
from chalicelib.api.http.endpoint import Reply, StepwiseCall, stepwise_endpoint
from chalicelib.api.schemas.files import FileDetail, FileOut, FilePath, UploadFields, UploadForm
from chalicelib.api.schemas.uploads import FileBegun, FileCreate, PartsOut, PartsSign, SignedPartsOut, UploadComplete
from chalicelib.catalog.files import File
from chalicelib.catalog.objects import Part
from chalicelib.errors import (
    AgainstPolicy,
    Conflict,
    FieldProblem,
    Forbidden,
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
from chalicelib.services.accounts.memberships import acting_in_session
from chalicelib.services.uploads import completion, direct, through_api
from chalicelib.services.uploads.reservations import Description, UploadRequest
from chalicelib.services.uploads.through_api import IncomingFile


@stepwise_endpoint(
    body=FileCreate,
    right="editor",
    response=FileBegun,
    status=201,
    errors=(NotFound, Forbidden, Conflict, AgainstPolicy, OverQuota, Unprocessable, StoreUnavailable),
)
def create_file(call: StepwiseCall[None, None, FileCreate]) -> Reply:
    """Announce a file, and learn how to send its bytes to S3.

    The file is `pending`, and becomes `stored` as soon as its object is there. `plan` says how to send it: one signed
    PUT (S3 takes only the announced `size`, `media_type` and `sha256`, and overwrites nothing), a form to POST, or
    parts. Send the bytes, then call `/complete`, or just wait. The file counts towards quotas from now on. To send
    small files in one request, use `/api/files/upload`.

    If the caller has a stored file of the same `sha256`, it is offered as `duplicate`. With `dedupe`, the new file
    becomes a copy of it at once, if it has at most 1 GiB. Then there is no `plan`.

    With `owner_id` and `session_id`, the file goes to a session that is shared with the caller, and belongs to its owner.
    """
    body = call.body
    description = Description(body.session_id, body.metadata, body.tags)
    request = UploadRequest(body.name, body.media_type, body.size, body.sha256, body.method, description)
    planned = direct.begin(call.ctx, request, body.dedupe)
    location = {"Location": f"{call.base_url}{call.exchange.url_path}/{planned.file.id}"}
    return Reply(FileBegun.of(planned), 201, location)


@stepwise_endpoint(
    path=FilePath, right="editor", response=FileBegun, errors=(NotFound, Forbidden, Conflict, StoreUnavailable)
)
def renew_upload(call: StepwiseCall[FilePath, None, None]) -> FileBegun:
    """Get fresh links for a pending upload.

    The plan is as at the beginning, and its time starts anew.
    """
    return FileBegun.of(direct.renew(call.ctx, call.path.file_id))


@stepwise_endpoint(
    path=FilePath,
    body=PartsSign,
    right="editor",
    response=SignedPartsOut,
    errors=(NotFound, Forbidden, Conflict, AgainstPolicy, OverQuota, StoreUnavailable),
)
def sign_parts(call: StepwiseCall[FilePath, None, PartsSign]) -> dict[str, Any]:
    """Get links for parts of a multipart upload.

    PUT each part to its `url`, with exactly `size` bytes. Up to 1,000 parts at once. If the upload's size wasn't
    announced, the parts that S3 holds are counted towards quotas each time.
    """
    parts = direct.sign_parts(call.ctx, call.path.file_id, call.body.part_numbers, call.body.size)
    return {"parts": parts, "link_expires_at": call.now + timedelta(seconds=call.ctx.settings.link_seconds)}


@stepwise_endpoint(
    path=FilePath, right="editor", response=PartsOut, errors=(NotFound, Forbidden, Conflict, StoreUnavailable)
)
def list_parts(call: StepwiseCall[FilePath, None, None]) -> dict[str, Any]:
    """List the parts of a multipart upload that S3 holds.

    To resume, send the others.
    """
    return {"parts": direct.list_parts(call.ctx, call.path.file_id)}


@stepwise_endpoint(
    path=FilePath,
    body=UploadComplete,
    right="editor",
    response=FileDetail,
    errors=(NotFound, Forbidden, NotArrived, AgainstPolicy, OverQuota, StoreUnavailable),
)
def complete_upload(call: StepwiseCall[FilePath, None, UploadComplete]) -> File:
    """Say that the bytes are sent, and read the stored file.

    For a multipart upload, this makes the object. It is safe to repeat. After a single request it may be left out,
    because S3's event tells the same. 409, with the reason, as long as the object isn't there.
    """
    named = call.body.parts
    parts = None if named is None else [Part(part.number, part.etag, 0) for part in named]
    return completion.complete(call.ctx, call.path.file_id, parts)


@stepwise_endpoint(
    response=list[FileOut],
    status=201,
    content_types=("multipart/form-data",),
    raw_body=UploadForm,
    errors=(
        InvalidInput,
        MalformedBody,
        TooLarge,
        UnsupportedMediaType,
        NotFound,
        Forbidden,
        Conflict,
        AgainstPolicy,
        OverQuota,
        Unprocessable,
        StoreUnavailable,
    ),
)
def upload_files(call: StepwiseCall[None, None, None]) -> list[File]:
    """Upload files through the API.

    All or none are stored, and recorded at once. Up to 4,500,000 bytes and 100 parts in all; larger files go straight
    to S3. Each call makes new files, whatever their names and bytes.
    """
    form = multipart_form.parse_form(call.exchange.raw_body, call.exchange.content_type)
    said = _upload_fields(form)
    incoming = [IncomingFile(part.name, part.media_type, part.body) for part in form.files]
    ctx = acting_in_session(call.ctx, said.owner_id, said.session_id, "editor")
    return through_api.upload_files(ctx, incoming, Description(said.session_id, said.metadata, said.tags))


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
        return documents.parse_json(text)
    except MalformedBody as error:
        problems: tuple[FieldProblem, ...] = (FieldProblem("body", name, str(error).replace("The body", "The field")),)
    except InvalidInput as error:
        problems = tuple(replace(problem, field=f"{name}.{problem.field}") for problem in error.problems)
    raise InvalidInput(f"Wrong: body {name}.", problems)
