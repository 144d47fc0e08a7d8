"""Routes of files."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace
from typing import Any

from chalice.app import Blueprint

from chalicelib import runtime
from chalicelib.api import preconditions, waiting
from chalicelib.api.endpoint import JSON, Call, Reply, endpoint
from chalicelib.api.pages import Page, PageQuery, page_reply
from chalicelib.api.schemas.files import (
    DownloadOut,
    DownloadQuery,
    EventOut,
    FacetOut,
    FacetsQuery,
    FileDetail,
    FileFilterQuery,
    FileOut,
    FilePatch,
    FilePath,
    FileQuery,
    FileReplace,
    SessionFilesPath,
    SessionFilesQuery,
    VersionOut,
    WaitQuery,
)
from chalicelib.catalog.metadata_filters import parse_filter
from chalicelib.db.deadlines import within
from chalicelib.db.file_filters import FileFilters
from chalicelib.db.file_queries import RELEVANCE, FileDocument
from chalicelib.db.pages import Slice
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
from chalicelib.services import Session, files
from chalicelib.services.files import FileChanges

routes = Blueprint(__name__)

_FILTERS = {field.name for field in fields(FileFilters)}


@routes.route("/api/files", methods=["GET"], **JSON)
@endpoint(query=FileQuery, response=Page[FileOut], errors=(InvalidCursor, TooBroad), transactional=False)
def list_files(call: Call[None, FileQuery, None]) -> Reply:
    """List files.

    The caller's own; an operator's list holds everyone's. A file that was put into the bucket a moment ago appears as
    soon as its event is recorded: ask with `key` and `wait` to wait for one. What `q` finds is a moment behind the list.
    """
    query, filters = call.query, _filters(call.query)

    def look() -> Slice[FileDocument]:
        with runtime.transaction() as session, _in_time(call, session, filters):
            return files.list_files(session, call.principal, filters, _sort(query), query.limit, query.cursor)

    found = waiting.until(lambda page: any(file["state"] == "stored" for file in page.items), look, query.wait)
    return page_reply(call, found, is_ready=True)


@routes.route("/api/files/facets", methods=["GET"], **JSON)
@endpoint(query=FacetsQuery, response=dict[str, list[FacetOut]], errors=(TooBroad,))
def count_files(call: Call[None, FacetsQuery, None]) -> dict[str, list[dict[str, Any]]]:
    """Count files by what they have in common.

    By each facet, its hundred most frequent values with the files and bytes that have them. Filters are those of the list.
    """
    with within(call.session, call.settings.query_seconds):
        return files.count_files(call.session, call.principal, _filters(call.query), call.query.by.split(","))


@routes.route("/api/sessions/{session_id}/files", methods=["GET"], **JSON)
@endpoint(
    path=SessionFilesPath, query=SessionFilesQuery, response=Page[FileOut], errors=(NotFound, InvalidCursor, TooBroad)
)
def list_session_files(call: Call[SessionFilesPath, SessionFilesQuery, None]) -> Reply:
    """List the files of a session.

    The session is the caller's own; filters and orders are those of all files.
    """
    query, name, filters = call.query, call.path.session_id, _filters(call.query)
    with _in_time(call, call.session, filters):
        found = files.list_session_files(
            call.session, call.principal, name, filters, _sort(query), query.limit, query.cursor
        )
    return page_reply(call, found, is_ready=True)


@routes.route("/api/files/{file_id}", methods=["GET"], **JSON)
@endpoint(
    path=FilePath,
    query=WaitQuery,
    headers=(preconditions.IF_NONE_MATCH,),
    response=FileDetail,
    also=(304,),
    errors=(NotFound,),
    transactional=False,
)
def get_file(call: Call[FilePath, WaitQuery, None]) -> Reply:
    """Read a file.

    A deleted one is not found; its versions and events still are. The `ETag` stands for this state of it: with
    `If-None-Match`, 304 as long as nothing has changed; with `If-Match`, a change is refused (412) if something has.
    """

    def look() -> FileDocument:
        with runtime.transaction() as session:
            return files.get_file(session, call.principal, call.path.file_id)

    file = waiting.until(lambda file: file["state"] != "pending", look, call.query.wait)
    if preconditions.is_known(call.exchange, file):
        return Reply(None, 304, preconditions.etag(file))
    return _detail(file)


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
    link = files.download_link(
        call.session,
        runtime.store(),
        call.principal,
        call.path.file_id,
        query.version_id,
        query.inline,
        call.settings,
        call.now,
    )
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
@endpoint(
    path=FilePath,
    headers=(preconditions.IF_MATCH,),
    response=None,
    status=204,
    errors=(NotFound, Conflict, PreconditionFailed, StoreUnavailable),
    transactional=False,
)
def delete_file(call: Call[FilePath, None, None]) -> None:
    """Delete a file.

    Its object goes, in a versioned bucket behind a delete marker; a tombstone with its versions and events stays.
    """
    revisions = preconditions.expected(call.exchange)
    files.delete_file(runtime.transaction, runtime.store(), call.principal, call.path.file_id, call.now, revisions)


def _changed(call: Call[FilePath, None, Any], changes: FileChanges) -> Reply:
    revisions = preconditions.expected(call.exchange)
    file = files.change_file(
        call.session, call.principal, call.path.file_id, changes, call.now, call.settings, revisions
    )
    return _detail(file)


def _detail(file: FileDocument) -> Reply:
    return Reply(file, headers=preconditions.etag(file))


def _sort(query: SessionFilesQuery) -> str:
    return query.sort or (RELEVANCE if query.q else "-created")


# Unfiltered, or one owner's or bucket's in the order of creation, a list is one walk along an index, about as long as its
# page. The limit would cost it a round trip.
_ONE_WALK = FileFilters()


def _in_time(call: Call, session: Session, filters: FileFilters) -> AbstractContextManager[None]:
    by_creation = _sort(call.query).endswith("created")
    if (replace(filters, owner_id=None, key=None, bucket=None) if by_creation else filters) == _ONE_WALK:
        return nullcontext()
    # By size a list takes two walks: see `chalicelib.db.file_queries.page_statements`.
    return within(session, call.settings.query_seconds, statements=2 if (call.query.sort or "").endswith("size") else 1)


def _filters(query: FileFilterQuery) -> FileFilters:
    return FileFilters(
        **query.model_dump(include=_FILTERS - {"metadata"}),
        tags=tuple(query.tag),
        metadata=tuple(parse_filter(name, value) for name, value in query.metadata.items()),
        terms=tuple(terms_of(query.q)) if query.q else (),
    )
