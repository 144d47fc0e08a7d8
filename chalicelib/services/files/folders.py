"""Folders: S3 has none, but keys with slashes look like them."""

from chalicelib.db import folders
from chalicelib.db.deadlines import within
from chalicelib.db.folders import Folder, FolderSum
from chalicelib.db.pages import Page
from chalicelib.services.context import Transaction


def list_folders(
    tx: Transaction, bucket: str | None, prefix: str, limit: int, cursor: str | None
) -> tuple[Page, FolderSum]:
    """A page of the folders right below ``prefix``, each with the sum of its files, and the sum of all files below ``prefix``.

    The sums include files at any depth. For a member, only the files that it owns count.

    Raises:
        InvalidCursor: the cursor is not one of this list. TooBroad: counting takes too long.
    """
    folder = Folder(bucket or tx.settings.bucket, prefix)
    with within(tx.session, tx.settings.query_seconds, statements=2):
        page = folders.list_folders(tx.session, tx.scope, folder, limit, cursor)
        return page, folders.sum_below(tx.session, tx.scope, folder)
