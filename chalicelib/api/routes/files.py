"""Routes of files."""

from dataclasses import fields
from typing import Any

from chalicelib.api.http import preconditions, waiting
from chalicelib.api.http.endpoint import (
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
    FacetsOut,
    FacetsQuery,
    FileFilterQuery,
    FileQuery,
    FilesOut,
    SessionFilesPath,
    SessionFilesQuery,
    SortedQuery,
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
    Forbidden,
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

_FILTERS = {field.name for field in fields(FileFilters)}


@stepwise_endpoint(
    query=FileQuery, right="viewer", response=FilesOut, errors=(NotFound, Forbidden, InvalidCursor, TooBroad)
)
def list_files(call: StepwiseCall[None, FileQuery, None]) -> Reply:
    """List files.

    Members see their own files, operators see everyone's. `owner_id` and `session_id` together name a session that is shared with
    the caller; 404 if it isn't. An object that was put into the bucket a moment ago appears
    as soon as its event is recorded. With `key` and `wait`, the answer waits for it. The search with `q` is a moment
    behind the list. If more files match than it ranks, `exact` is false.
    """
    listing = _listing(call.query)

    def has_come() -> bool:
        with call.ctx.transaction() as tx:
            return reading.is_any_stored(tx, listing)

    if call.query.wait:
        waiting.until(call, bool, has_come, call.query.wait)
    with call.ctx.transaction() as tx:
        page = reading.list_files(tx, listing)
    return page_reply(call, page, exact=page.exact)


@endpoint(query=FacetsQuery, right="viewer", response=FacetsOut, errors=(NotFound, TooBroad))
def count_files(call: Call[None, FacetsQuery, None]) -> Reply:
    """Count files by what they have in common.

    For each facet, up to a hundred values, with how many files and bytes have them: the most frequent values, or the
    latest months. The filters are those of the list. If more files match than were counted, `exact` is false.
    """
    query = call.query
    return Reply(JsonText(reading.count_files(call.tx, _filters(query), query.by.split(","), query.exact)))


@endpoint(
    path=SessionFilesPath,
    query=SessionFilesQuery,
    right="viewer",
    response=FilesOut,
    errors=(NotFound, InvalidCursor, TooBroad),
)
def list_session_files(call: Call[SessionFilesPath, SessionFilesQuery, None]) -> Reply:
    """List the files of a session.

    The session belongs to the caller or, with `owner_id`, is shared with it. Filters and orders are those of the list of all
    files.
    """
    page = reading.list_session_files(call.tx, call.path.session_id, _listing(call.query))
    return page_reply(call, page, exact=page.exact)


@stepwise_endpoint(
    path=FilePath,
    query=WaitQuery,
    headers=(preconditions.IF_NONE_MATCH,),
    right="viewer",
    response=FileDetail,
    also=(304,),
    errors=(NotFound, Forbidden),
)
def get_file(call: StepwiseCall[FilePath, WaitQuery, None]) -> Reply:
    """Read a file.

    A deleted file is not found, but its versions and events still are. The `ETag` identifies the file's present state.
    With `If-None-Match`, the answer is 304 as long as nothing has changed. With `If-Match`, a change is refused (412)
    if something has.
    """

    def look() -> File:
        with call.ctx.transaction() as tx:
            return reading.get_file(tx, call.path.file_id)

    file = waiting.until(call, lambda file: file.state != "pending", look, call.query.wait)
    if preconditions.is_known(call.exchange, file):
        return Reply(None, 304, preconditions.etag(file))
    return _detail(file)


@endpoint(path=FilePath, query=PageQuery, right="viewer", response=Page[VersionOut], errors=(NotFound, InvalidCursor))
def list_versions(call: Call[FilePath, PageQuery, None]) -> Reply:
    """List the versions of a file.

    The newest come first. Delete markers and removed versions are included. The file may be deleted.
    """
    return page_reply(call, reading.list_versions(call.tx, call.path.file_id, call.query.limit, call.query.cursor))


@endpoint(path=FilePath, query=PageQuery, right="viewer", response=Page[EventOut], errors=(NotFound, InvalidCursor))
def list_events(call: Call[FilePath, PageQuery, None]) -> Reply:
    """List what happened to a file.

    Each change that S3 told of comes once, in S3's order. The file may be deleted.
    """
    return page_reply(call, reading.list_events(call.tx, call.path.file_id, call.query.limit, call.query.cursor))


@endpoint(
    path=FilePath,
    query=DownloadQuery,
    right="viewer",
    response=DownloadOut,
    errors=(NotFound, Conflict, AgainstPolicy, StoreUnavailable),
    also=(302,),
)
def download_file(call: Call[FilePath, DownloadQuery, None]) -> Reply:
    """Download a file.

    302 to a presigned link, which is also in the body; with `redirect=false`, 200. 409 as long as the bytes haven't
    arrived.
    """
    query = call.query
    link = downloads.download_link(call.tx, call.path.file_id, query.version_id, query.inline)
    return Reply(link, 302, {"Location": link.url}) if query.redirect else Reply(link)


@endpoint(
    path=FilePath,
    body=FileReplace,
    headers=(preconditions.IF_MATCH,),
    right="editor",
    response=FileOut,
    errors=(NotFound, Forbidden, PreconditionFailed, AgainstPolicy, OverQuota, Unprocessable),
)
def replace_file(call: Call[FilePath, None, FileReplace]) -> Reply:
    """Replace a file's name, session, metadata and tags.

    Fields that are left out get their defaults. With `If-Match`, this is done only if the file is as the caller knows
    it.
    """
    changes = FileChanges(**call.body.model_dump())  # type: ignore[typeddict-item]
    return _changed(call, changes)


@endpoint(
    path=FilePath,
    body=FilePatch,
    headers=(preconditions.IF_MATCH,),
    right="editor",
    response=FileOut,
    errors=(NotFound, Forbidden, PreconditionFailed, AgainstPolicy, OverQuota, Unprocessable),
)
def patch_file(call: Call[FilePath, None, FilePatch]) -> Reply:
    """Change a file's name, session, metadata or tags.

    Fields that are left out stay. `"session_id": null` takes the file out of its session. Metadata and tags are
    replaced as a whole. With `If-Match`, this is done only if the file is as the caller knows it.
    """
    changes = FileChanges(**call.body.model_dump(exclude_unset=True))  # type: ignore[typeddict-item]
    return _changed(call, changes)


@stepwise_endpoint(
    path=FilePath,
    headers=(preconditions.IF_MATCH,),
    right="editor",
    response=None,
    status=204,
    errors=(NotFound, Forbidden, Conflict, PreconditionFailed, StoreUnavailable),
)
def delete_file(call: StepwiseCall[FilePath, None, None]) -> None:
    """Delete a file.

    Its object is deleted; in a versioned bucket, a delete marker hides it. A tombstone with its versions and events
    stays.
    """
    deletion.delete_file(call.ctx, call.path.file_id, preconditions.expected(call.exchange))


@stepwise_endpoint(path=FilePath, right="editor", response=FileDetail, errors=(NotFound, Forbidden, Conflict))
def inspect_file(call: StepwiseCall[FilePath, None, None]) -> File:
    """Read a file's headers and first bytes again.

    Each new object is inspected without a request. This is for an object whose inspection was given up because S3 did
    not answer for too long: its `inspection_problem` in `/versions` says so.
    """
    return inspect_again(call.ctx, call.path.file_id)


def _changed(call: Call[FilePath, None, Any], changes: FileChanges) -> Reply:
    revisions = preconditions.expected(call.exchange)
    return _detail(editing.change_file(call.tx, call.path.file_id, changes, revisions))


def _detail(file: File) -> Reply:
    return Reply(file, headers=preconditions.etag(file))


def _listing(query: SortedQuery) -> Listing:
    sort = query.sort or (RELEVANCE if query.q else "-created")
    return Listing(_filters(query), sort, query.limit, query.cursor, query.exact)


def _filters(query: FileFilterQuery) -> FileFilters:
    return FileFilters(
        **query.model_dump(include=_FILTERS - {"metadata"}),
        tags=tuple(query.tag),
        metadata=tuple(parse_filter(name, value) for name, value in query.metadata.items()),
        terms=tuple(terms_of(query.q)) if query.q else (),
    )
