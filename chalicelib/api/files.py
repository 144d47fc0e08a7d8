"""Routes of files."""

from dataclasses import fields

from chalice.app import Blueprint

from chalicelib import runtime
from chalicelib.api.endpoint import JSON, Call, Reply, endpoint
from chalicelib.api.pages import Page, PageQuery, page_reply
from chalicelib.api.schemas.files import (
    DownloadOut,
    DownloadQuery,
    EventOut,
    FileDetail,
    FileOut,
    FilePatch,
    FilePath,
    FileQuery,
    FileReplace,
    SessionFilesPath,
    SessionFilesQuery,
    VersionOut,
)
from chalicelib.db.file_queries import FileDocument, FileFilters
from chalicelib.errors import Conflict, InvalidCursor, NotFound, StoreUnavailable, Unprocessable
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


@routes.route("/api/files/{file_id}", methods=["GET"], **JSON)
@endpoint(path=FilePath, response=FileDetail, errors=(NotFound,))
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


def _filters(query: SessionFilesQuery) -> FileFilters:
    return FileFilters(**query.model_dump(include=_FILTERS))
