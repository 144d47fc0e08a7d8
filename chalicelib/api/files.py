"""Routes of files."""

import json
from dataclasses import fields, replace
from typing import Any

from chalice.app import Blueprint

from chalicelib import runtime
from chalicelib.api import multipart_form, reading
from chalicelib.api.endpoint import JSON, Call, Reply, endpoint
from chalicelib.api.pages import Page, PageQuery, page_reply
from chalicelib.api.schemas.files import (
    DownloadOut,
    DownloadQuery,
    EventOut,
    FileCreate,
    FileOut,
    FilePatch,
    FilePath,
    FileQuery,
    FileReplace,
    SessionFilesPath,
    SessionFilesQuery,
    UploadFields,
    UploadForm,
    VersionOut,
)
from chalicelib.db.file_queries import FileDocument, FileFilters
from chalicelib.errors import (
    Conflict,
    FieldProblem,
    InvalidCursor,
    InvalidInput,
    MalformedBody,
    NotFound,
    StoreUnavailable,
    TooLarge,
    Unprocessable,
    UnsupportedMediaType,
)
from chalicelib.services import files
from chalicelib.services.files import FileChanges

routes = Blueprint(__name__)

_FILTERS = {field.name for field in fields(FileFilters)}


@routes.route("/api/files", methods=["GET"], **JSON)
@endpoint(query=FileQuery, response=Page[FileOut], errors=(InvalidCursor,))
def list_files(call: Call[None, FileQuery, None]) -> Reply:
    """List files.

    The caller's own; an operator's list holds everyone's. A file that was put into the bucket a moment ago appears as
    soon as its event is recorded: ask with `key` to wait for one.
    """
    query = call.query
    found = files.list_files(call.session, call.principal, _filters(query), query.sort, query.limit, query.cursor)
    return page_reply(call, found, is_ready=True)


@routes.route("/api/sessions/{session_id}/files", methods=["GET"], **JSON)
@endpoint(path=SessionFilesPath, query=SessionFilesQuery, response=Page[FileOut], errors=(NotFound, InvalidCursor))
def list_session_files(call: Call[SessionFilesPath, SessionFilesQuery, None]) -> Reply:
    """List the files of a session.

    The session is the caller's own; filters and orders are those of all files.
    """
    query, name = call.query, call.path.session_id
    found = files.list_session_files(
        call.session, call.principal, name, _filters(query), query.sort, query.limit, query.cursor
    )
    return page_reply(call, found, is_ready=True)


@routes.route("/api/files", methods=["POST"], **JSON)
@endpoint(body=FileCreate, response=FileOut, status=201)
def create_file(call: Call[None, None, FileCreate]) -> Reply:
    """Announce a file whose bytes are to come.

    It is `pending`, under the bucket and key of the answer, and becomes `stored` as soon as an object is put there, by
    whatever client. To send the bytes in the same request, use `/api/files/upload`.
    """
    from chalicelib.services import uploads

    body = call.body
    said = uploads.Announcement(body.session_id, body.metadata, body.tags)
    file = uploads.announce_file(call.session, call.settings.bucket, call.principal, body.name, said, call.now)
    return Reply(file, 201, {"Location": f"{call.base_url}{call.url_path}/{file['id']}"})


@routes.route("/api/files/{file_id}", methods=["GET"], **JSON)
@endpoint(path=FilePath, response=FileOut, errors=(NotFound,))
def get_file(call: Call[FilePath, None, None]) -> FileDocument:
    """Read a file.

    A deleted one is not found; its versions and events still are.
    """
    return files.get_file(call.session, call.principal, call.path.file_id)


@routes.route("/api/files/{file_id}/versions", methods=["GET"], **JSON)
@endpoint(path=FilePath, query=PageQuery, response=Page[VersionOut], errors=(NotFound, InvalidCursor))
def list_versions(call: Call[FilePath, PageQuery, None]) -> Reply:
    """List the versions of a file.

    The newest first, delete markers and removed versions among them; of a deleted file, too.
    """
    query = call.query
    return page_reply(
        call, files.list_versions(call.session, call.principal, call.path.file_id, query.limit, query.cursor)
    )


@routes.route("/api/files/{file_id}/events", methods=["GET"], **JSON)
@endpoint(path=FilePath, query=PageQuery, response=Page[EventOut], errors=(NotFound, InvalidCursor))
def list_events(call: Call[FilePath, PageQuery, None]) -> Reply:
    """List what happened to a file.

    Each change that S3 told of, once, in S3's order; of a deleted file, too.
    """
    query = call.query
    return page_reply(
        call, files.list_events(call.session, call.principal, call.path.file_id, query.limit, query.cursor)
    )


@routes.route("/api/files/{file_id}/download", methods=["GET"], **JSON)
@endpoint(
    path=FilePath, query=DownloadQuery, response=DownloadOut, errors=(NotFound, Conflict, StoreUnavailable), also=(302,)
)
def download_file(call: Call[FilePath, DownloadQuery, None]) -> Reply:
    """Download a file.

    302 to a presigned link, which the body names too; with `redirect=false`, 200. 409 while its bytes haven't arrived.
    """
    query = call.query
    link = files.download_link(
        call.session,
        runtime.store(),
        call.principal,
        call.path.file_id,
        query.version_id,
        query.inline,
        call.settings.link_seconds,
        call.now,
    )
    return Reply(link, 302, {"Location": link.url}) if query.redirect else Reply(link)


@routes.route("/api/files/{file_id}", methods=["PUT"], **JSON)
@endpoint(path=FilePath, body=FileReplace, response=FileOut, errors=(NotFound, Unprocessable))
def replace_file(call: Call[FilePath, None, FileReplace]) -> FileDocument:
    """Replace a file's name, session, metadata and tags.

    What is left out falls back to its default.
    """
    changes = FileChanges(**call.body.model_dump())  # type: ignore[typeddict-item]
    return files.change_file(call.session, call.principal, call.path.file_id, changes, call.now)


@routes.route("/api/files/{file_id}", methods=["PATCH"], **JSON)
@endpoint(path=FilePath, body=FilePatch, response=FileOut, errors=(NotFound, Unprocessable))
def patch_file(call: Call[FilePath, None, FilePatch]) -> FileDocument:
    """Change a file's name, session, metadata or tags.

    What is left out stays. `"session_id": null` takes it out of its session; metadata and tags are replaced as a whole.
    """
    changes = FileChanges(**call.body.model_dump(exclude_unset=True))  # type: ignore[typeddict-item]
    return files.change_file(call.session, call.principal, call.path.file_id, changes, call.now)


@routes.route("/api/files/{file_id}", methods=["DELETE"], **JSON)
@endpoint(path=FilePath, response=None, status=204, errors=(NotFound, StoreUnavailable), transactional=False)
def delete_file(call: Call[FilePath, None, None]) -> None:
    """Delete a file.

    Its object goes, in a versioned bucket behind a delete marker; a tombstone with its versions and events stays.
    """
    files.delete_file(runtime.transaction, runtime.store(), call.principal, call.path.file_id, call.now)


@routes.route("/api/files/upload", methods=["POST"], **JSON)
@endpoint(
    response=list[FileOut],
    status=201,
    content_types=("multipart/form-data",),
    raw_body=UploadForm,
    errors=(InvalidInput, MalformedBody, TooLarge, UnsupportedMediaType, StoreUnavailable),
    transactional=False,
)
def upload_files(call: Call[None, None, None]) -> list[FileDocument]:
    """Upload files through the API.

    All or none are stored, and recorded at once. Up to 4,500,000 bytes and 100 parts in all; larger files go straight
    to S3. Each call makes new files, whatever their names and bytes.
    """
    # Imported here: its thread pool is needed by this route only.
    from chalicelib.services import uploads

    form = multipart_form.parse_form(call.raw_body, call.content_type)
    said = _upload_fields(form)
    upload = uploads.Upload(
        [uploads.IncomingFile(part.name, part.media_type, part.body) for part in form.files],
        uploads.Announcement(said.session_id, said.metadata, said.tags),
    )
    return uploads.upload_files(
        runtime.transaction, runtime.store(), call.settings.bucket, call.principal, upload, call.now
    )


def _filters(query: SessionFilesQuery) -> FileFilters:
    return FileFilters(**query.model_dump(include=_FILTERS))


def _upload_fields(form: multipart_form.Form) -> UploadFields:
    """The form's fields, validated as the JSON document that they amount to."""
    if not form.files:
        raise MalformedBody("The form holds no file: give at least one part a file name.")
    repeated = [name for name, values in form.fields.items() if len(values) > 1 and name != "tags"]
    if repeated:
        problems = tuple(FieldProblem("body", name, "Given more than once.") for name in repeated)
        raise InvalidInput("A field of the form is given more than once.", problems)
    document: dict[str, Any] = {name: values[0] for name, values in form.fields.items()}
    if "names" in document:
        raise InvalidInput("Wrong: body names.", (FieldProblem("body", "names", "Unknown field."),))
    document |= {"names": [part.name for part in form.files]}
    if "tags" in form.fields:
        document["tags"] = form.fields["tags"]
    if "metadata" in form.fields:
        document["metadata"] = _json_field("metadata", form.fields["metadata"][0])
    return reading.read_body(UploadFields, json.dumps(document).encode())


def _json_field(name: str, text: str) -> Any:
    try:
        return reading.parse_json(text)
    except MalformedBody as error:
        problems: tuple[FieldProblem, ...] = (FieldProblem("body", name, str(error).replace("The body", "The field")),)
    except InvalidInput as error:
        problems = tuple(replace(problem, field=f"{name}.{problem.field}") for problem in error.problems)
    raise InvalidInput(f"Wrong: body {name}.", problems)
