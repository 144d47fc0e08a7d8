"""Folders: S3 has none, but keys with slashes look like them."""

from dataclasses import dataclass, replace

from chalicelib.db import folders
from chalicelib.db.deadlines import within
from chalicelib.db.folders import Folder, FolderSum
from chalicelib.db.pages import Page
from chalicelib.errors import NotFound
from chalicelib.services.context import Transaction
from chalicelib.services.files.bounds import bounds_of


@dataclass(frozen=True, slots=True)
class FolderListing:
    """Which folders, and which page of them. No ``bucket``: that of uploads. ``exact``: add up every file.

    ``session_id``: only files in this session, of the caller's or the one that it acts in.
    """

    bucket: str | None
    prefix: str
    limit: int
    cursor: str | None
    exact: bool
    session_id: str | None = None


def list_folders(tx: Transaction, listing: FolderListing) -> tuple[Page, FolderSum]:
    """A page of the folders right below ``prefix``, each with the sum of its files, and the sum of all files below ``prefix``.

    The sums include files at any depth. For a member, only the files that it owns count.

    Raises:
        InvalidCursor: the cursor is not one of this list. TooBroad: counting takes too long.
        NotFound: the caller's API key is for another session.
    """
    folder = Folder(listing.bucket or tx.settings.bucket, listing.prefix)
    bounds = None if listing.exact else bounds_of(tx.settings)
    scope = tx.scope
    if listing.session_id is not None:
        itself = tx.principal.itself
        if itself.session_id not in (None, listing.session_id):
            raise NotFound(f"There is no session {listing.session_id}.")
        scope = replace(itself, session_id=listing.session_id)
    with within(tx.session, tx.settings.query_seconds, statements=2):
        page = folders.list_folders(tx.session, scope, folder, bounds, listing.limit, listing.cursor)
        return page, folders.sum_below(tx.session, scope, folder, bounds)
