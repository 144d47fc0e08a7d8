"""Reading files. A member sees what it owns; an operator sees everything."""

from collections.abc import Container, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from uuid import UUID

from chalicelib.catalog.files import File
from chalicelib.db import facets, file_lists, files, history, trail
from chalicelib.db.deadlines import within
from chalicelib.db.file_filters import FileFilters, in_scope
from chalicelib.db.pages import Page
from chalicelib.db.scope import Scope
from chalicelib.errors import Conflict, NotFound, PreconditionFailed
from chalicelib.services.accounts.memberships import contexts_for
from chalicelib.services.accounts.sessions import get_session
from chalicelib.services.context import Context, Transaction
from chalicelib.services.files.bounds import bounds_of


@dataclass(frozen=True, slots=True)
class Listing:
    """Which files, in which order, and which page of them.

    ``sort`` is one of `file_lists.SORTS`, or `file_lists.RELEVANCE`. ``exact``: rank every match by relevance, however
    many there are.
    """

    filters: FileFilters
    sort: str
    limit: int
    cursor: str | None
    exact: bool = False


def list_files(tx: Transaction, listing: Listing) -> Page:
    """A page of the caller's files; see `file_lists.list_files` and `file_lists.search_files`.

    Raises:
        InvalidCursor: the cursor is not one of this list. TooBroad: finding them takes too long.
    """
    return _list(tx, tx.scope, listing)


def list_session_files(tx: Transaction, session_id: str, listing: Listing) -> Page:
    """A page of the files in the caller's session.

    Raises:
        NotFound: the caller has no such session. InvalidCursor, TooBroad: see `list_files`.
    """
    found = get_session(tx, session_id)
    filters = replace(listing.filters, session_id=found.session_id)
    return _list(tx, tx.principal.itself, replace(listing, filters=filters))


def _list(tx: Transaction, scope: Scope, listing: Listing) -> Page:
    with _in_time(tx, scope, listing):
        if listing.sort == file_lists.RELEVANCE:
            bounds = None if listing.exact else bounds_of(tx.settings)
            return file_lists.search_files(tx.session, scope, listing.filters, bounds, listing.limit, listing.cursor)
        return file_lists.list_files(tx.session, scope, listing.filters, listing.sort, listing.limit, listing.cursor)


def is_any_stored(tx: Transaction, listing: Listing) -> bool:
    """Whether one of the caller's files in a listing is stored, on whatever page.

    Raises:
        InvalidCursor: the cursor is not one of this list. TooBroad: finding one takes too long.
    """
    file_lists.check_cursor(tx.scope, listing.filters, listing.sort, listing.cursor)
    with _in_time(tx, tx.scope, listing):
        return file_lists.is_any_stored(tx.session, tx.scope, listing.filters)


def count_files(tx: Transaction, filters: FileFilters, by: Sequence[str], exact: bool) -> str:
    """How many of the caller's files match, and with how many bytes, by each of these facets: see `facets.count_files`.

    ``exact``: count every match, however many there are.

    Raises:
        TooBroad: counting takes too long.
    """
    with within(tx.session, tx.settings.query_seconds):
        return facets.count_files(tx.session, tx.scope, filters, by, None if exact else bounds_of(tx.settings))


def _in_time(tx: Transaction, scope: Scope, listing: Listing) -> AbstractContextManager[None]:
    # One walk is about as long as its page, and a time limit would only cost a round trip. What counts is what is asked of the
    # database, in the scope.
    scoped = in_scope(listing.filters, scope)
    if scoped is None or file_lists.is_one_walk(scoped, listing.sort):
        return nullcontext()
    # By size a list takes two walks: see `file_lists.page_statements`.
    return within(tx.session, tx.settings.query_seconds, statements=2 if listing.sort.endswith("size") else 1)


def get_file(tx: Transaction, file_id: UUID) -> File:
    """A file that is stored or pending.

    Raises:
        NotFound: there is none for this caller, or it was deleted; then the message says when.
    """
    return present_file(visible_file(tx, file_id))


def get_stored_file(tx: Transaction, file_id: UUID) -> File:
    """A file whose bytes are there.

    Raises:
        NotFound: there is none for this caller, or it was deleted. Conflict: its bytes haven't arrived yet.
    """
    file = get_file(tx, file_id)
    if file.state == "pending":
        raise Conflict("The file's bytes have not arrived yet.")
    return file


def visible_file(tx: Transaction, file_id: UUID, lock: bool = False) -> File:
    """A file in whatever state. ``lock``: keep others from changing its row until the transaction ends.

    Raises:
        NotFound: there is none for this caller.
    """
    file = files.find_file(tx.session, tx.scope, file_id, lock=lock)
    if file is None:
        raise NotFound(f"There is no file {file_id}.")
    return file


def find_visible(ctx: Context, file_ids: Sequence[UUID]) -> dict[UUID, File]:
    """Those of these files that the caller may see at this moment: its own, and those in sessions that are shared with it."""
    with ctx.transaction() as tx:
        found = files.find_files(tx.session, tx.scope, file_ids)
    for acting, shared in contexts_for(ctx, [file_id for file_id in file_ids if file_id not in found]):
        with acting.transaction() as tx:
            found |= files.find_files(tx.session, tx.scope, shared)
    return found


def present_file(file: File) -> File:
    """``file``, unless it was deleted.

    Raises:
        NotFound: it was deleted; the message says when, and why if it was never stored.
    """
    if file.state == "deleted":
        why = file.upload and file.upload.problem
        raise NotFound(
            f"The file {file.id} is deleted since {file.updated_at.isoformat()}. "
            f"{why or 'Its /versions and /events still answer.'}"
        )
    return file


def check_revision(file: File, revisions: Container[str] | None) -> None:
    """Refuse to go on if the caller knows another state of the file. With None, every state is accepted.

    ``revisions`` are first parts of revisions: see `chalicelib.catalog.files.File`.

    Raises:
        PreconditionFailed: the file is at none of ``revisions``.
    """
    if revisions is not None and file.revision.partition("-")[0] not in revisions:
        raise PreconditionFailed(f"The file {file.id} was changed meanwhile: read it again, then decide.")


def list_versions(tx: Transaction, file_id: UUID, limit: int, cursor: str | None) -> Page:
    """A page of a file's versions, including delete markers. The file may be deleted.

    Raises:
        NotFound: there is no such file for this caller. InvalidCursor: the cursor is not one of this list.
    """
    return history.list_versions(tx.session, tx.scope, visible_file(tx, file_id).id, limit, cursor)


def list_events(tx: Transaction, file_id: UUID, limit: int, cursor: str | None) -> Page:
    """A page of the events of a file. The file may be deleted.

    Raises:
        NotFound: there is no such file for this caller. InvalidCursor: the cursor is not one of this list.
    """
    return history.list_events(tx.session, tx.scope, visible_file(tx, file_id).id, limit, cursor)


def list_trail(tx: Transaction, file_id: UUID, limit: int, cursor: str | None) -> Page:
    """A page of who did what to a file, and of what S3 told of it. The file may be deleted.

    Raises:
        NotFound: there is no such file that belongs to this caller. InvalidCursor: the cursor is not one of this list.
    """
    file = visible_file(tx, file_id)
    if not tx.principal.is_operator and file.owner_id != tx.principal.user_id:
        raise NotFound(f"There is no file {file_id}.")
    return trail.list_file_trail(tx.session, file.id, limit, cursor)
