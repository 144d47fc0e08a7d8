"""Routes of files."""

from dataclasses import fields
from typing import Any

from chalice.app import Blueprint

from chalicelib.api.http import preconditions, waiting
from chalicelib.api.http.endpoint import (
    JSON,
    Call,
    JsonText,
    Reply,
    StepwiseCall,
    endpoint,
    stepwise_endpoint,
)
from chalicelib.api.http.pages import page_reply
from chalicelib.api.schemas.common import Page, PageQuery
from chalicelib.api.schemas.file_queries import (
    FacetOut,
    FacetsQuery,
    FileFilterQuery,
    FileQuery,
    SessionFilesPath,
    SessionFilesQuery,
)
from chalicelib.api.schemas.files import (
    DownloadOut,
    DownloadQuery,
    EventOut,
    FileDetail,
    FileOut,
    FilePatch,
    FilePath,
    FileReplace,
    VersionOut,
    WaitQuery,
)
from chalicelib.catalog.files import File
from chalicelib.catalog.metadata_filters import parse_filter
from chalicelib.db.file_filters import FileFilters
from chalicelib.db.file_lists import RELEVANCE
from chalicelib.db.search import terms_of
from chalicelib.errors import (
    AgainstPolicy,
    Conflict,
    InvalidCursor,
    NotFound,
    OverQuota,
    PreconditionFailed,
    StoreUnavailable,
    TooBroad,
    Unprocessable,
)
from chalicelib.services.files import downloads, editing, reading
from chalicelib.services.files.editing import FileChanges
from chalicelib.services.files.reading import Listing
from chalicelib.services.ingest.inspection import inspect_again
from chalicelib.services.removal import deletion

routes = Blueprint(__name__)

_FILTERS = {field.name for field in fields(FileFilters)}


@routes.route("/api/files", methods=["GET"], **JSON)
@stepwise_endpoint(query=FileQuery, response=Page[FileOut], errors=(InvalidCursor, TooBroad))
def list_files(call: StepwiseCall[None, FileQuery, None]) -> Reply:
    """List files.

    The caller's own; an operator's list holds everyone's. A file that was put into the bucket a moment ago appears as
    soon as its event is recorded: ask with `key` and `wait` to wait for one. What `q` finds is a moment behind the list.
    """
    listing = _listing(call.query)

    def has_come() -> bool:
        with call.ctx.transaction() as tx:
            return reading.is_any_stored(tx, listing.filters)

    if call.query.wait:
        waiting.until(bool, has_come, call.query.wait)
    with call.ctx.transaction() as tx:
        return page_reply(call, reading.list_files(tx, listing))


@routes.route("/api/files/facets", methods=["GET"], **JSON)
@endpoint(query=FacetsQuery, response=dict[str, list[FacetOut]], errors=(TooBroad,))
def count_files(call: Call[None, FacetsQuery, None]) -> Reply:
    """Count files by what they have in common.

    By each facet, its hundred most frequent values with the files and bytes that have them. Filters are those of the list.
    """
    return Reply(JsonText(reading.count_files(call.tx, _filters(call.query), call.query.by.split(","))))


@routes.route("/api/sessions/{session_id}/files", methods=["GET"], **JSON)
@endpoint(
    path=SessionFilesPath, query=SessionFilesQuery, response=Page[FileOut], errors=(NotFound, InvalidCursor, TooBroad)
)
def list_session_files(call: Call[SessionFilesPath, SessionFilesQuery, None]) -> Reply:
    """List the files of a session.

    The session is the caller's own; filters and orders are those of all files.
    """
    return page_reply(call, reading.list_session_files(call.tx, call.path.session_id, _listing(call.query)))


@routes.route("/api/files/{file_id}", methods=["GET"], **JSON)
@stepwise_endpoint(
    path=FilePath,
    query=WaitQuery,
    headers=(preconditions.IF_NONE_MATCH,),
    response=FileDetail,
    also=(304,),
    errors=(NotFound,),
)
def get_file(call: StepwiseCall[FilePath, WaitQuery, None]) -> Reply:
    """Read a file.

    A deleted one is not found; its versions and events still are. The `ETag` stands for this state of it: with
    `If-None-Match`, 304 as long as nothing has changed; with `If-Match`, a change is refused (412) if something has.
    """

    def look() -> File:
        with call.ctx.transaction() as tx:
            return reading.get_file(tx, call.path.file_id)

    file = waiting.until(lambda file: file.state != "pending", look, call.query.wait)
    if preconditions.is_known(call.exchange, file):
        return Reply(None, 304, preconditions.etag(file))
    return _detail(file)


@routes.route("/api/files/{file_id}/versions", methods=["GET"], **JSON)
@endpoint(path=FilePath, query=PageQuery, response=Page[VersionOut], errors=(NotFound, InvalidCursor))
def list_versions(call: Call[FilePath, PageQuery, None]) -> Reply:
    """List the versions of a file.

    The newest first, delete markers and removed versions among them; of a deleted file, too.
    """
    return page_reply(call, reading.list_versions(call.tx, call.path.file_id, call.query.limit, call.query.cursor))


@routes.route("/api/files/{file_id}/events", methods=["GET"], **JSON)
@endpoint(path=FilePath, query=PageQuery, response=Page[EventOut], errors=(NotFound, InvalidCursor))
def list_events(call: Call[FilePath, PageQuery, None]) -> Reply:
    """List what happened to a file.

    Each change that S3 told of, once, in S3's order; of a deleted file, too.
    """
    return page_reply(call, reading.list_events(call.tx, call.path.file_id, call.query.limit, call.query.cursor))


@routes.route("/api/files/{file_id}/download", methods=["GET"], **JSON)
@endpoint(
    path=FilePath,
    query=DownloadQuery,
    response=DownloadOut,
    errors=(NotFound, Conflict, AgainstPolicy, StoreUnavailable),
    also=(302,),
)
def download_file(call: Call[FilePath, DownloadQuery, None]) -> Reply:
    """Download a file.

    302 to a presigned link, which the body names too; with `redirect=false`, 200. 409 while its bytes haven't arrived.
    """
    query = call.query
    link = downloads.download_link(call.tx, call.path.file_id, query.version_id, query.inline)
    return Reply(link, 302, {"Location": link.url}) if query.redirect else Reply(link)


@routes.route("/api/files/{file_id}", methods=["PUT"], **JSON)
@endpoint(
    path=FilePath,
    body=FileReplace,
    headers=(preconditions.IF_MATCH,),
    response=FileOut,
    errors=(NotFound, PreconditionFailed, AgainstPolicy, OverQuota, Unprocessable),
)
def replace_file(call: Call[FilePath, None, FileReplace]) -> Reply:
    """Replace a file's name, session, metadata and tags.

    What is left out falls back to its default. With `If-Match`, only if the file is as the caller knows it.
    """
    changes = FileChanges(**call.body.model_dump())  # type: ignore[typeddict-item]
    return _changed(call, changes)


@routes.route("/api/files/{file_id}", methods=["PATCH"], **JSON)
@endpoint(
    path=FilePath,
    body=FilePatch,
    headers=(preconditions.IF_MATCH,),
    response=FileOut,
    errors=(NotFound, PreconditionFailed, AgainstPolicy, OverQuota, Unprocessable),
)
def patch_file(call: Call[FilePath, None, FilePatch]) -> Reply:
    """Change a file's name, session, metadata or tags.

    What is left out stays. `"session_id": null` takes it out of its session; metadata and tags are replaced as a
    whole. With `If-Match`, only if the file is as the caller knows it.
    """
    changes = FileChanges(**call.body.model_dump(exclude_unset=True))  # type: ignore[typeddict-item]
    return _changed(call, changes)


@routes.route("/api/files/{file_id}", methods=["DELETE"], **JSON)
@stepwise_endpoint(
    path=FilePath,
    headers=(preconditions.IF_MATCH,),
    response=None,
    status=204,
    errors=(NotFound, Conflict, PreconditionFailed, StoreUnavailable),
)
def delete_file(call: StepwiseCall[FilePath, None, None]) -> None:
    """Delete a file.

    Its object goes, in a versioned bucket behind a delete marker; a tombstone with its versions and events stays.
    """
    deletion.delete_file(call.ctx, call.path.file_id, preconditions.expected(call.exchange))


@routes.route("/api/files/{file_id}/inspect", methods=["POST"], **JSON)
@stepwise_endpoint(path=FilePath, response=FileDetail, errors=(NotFound, Conflict))
def inspect_file(call: StepwiseCall[FilePath, None, None]) -> File:
    """Read a file's headers and first bytes again.

    Each new object is inspected by itself. This is for one whose inspection was given up because S3 did not answer for
    too long: `/versions` tells by its `inspection_problem`.
    """
    return inspect_again(call.ctx, call.path.file_id)


def _changed(call: Call[FilePath, None, Any], changes: FileChanges) -> Reply:
    revisions = preconditions.expected(call.exchange)
    return _detail(editing.change_file(call.tx, call.path.file_id, changes, revisions))


def _detail(file: File) -> Reply:
    return Reply(file, headers=preconditions.etag(file))


def _listing(query: SessionFilesQuery) -> Listing:
    sort = query.sort or (RELEVANCE if query.q else "-created")
    return Listing(_filters(query), sort, query.limit, query.cursor)


def _filters(query: FileFilterQuery) -> FileFilters:
    return FileFilters(
        **query.model_dump(include=_FILTERS - {"metadata"}),
        tags=tuple(query.tag),
        metadata=tuple(parse_filter(name, value) for name, value in query.metadata.items()),
        terms=tuple(terms_of(query.q)) if query.q else (),
    )
