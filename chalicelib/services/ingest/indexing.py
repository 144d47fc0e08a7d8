"""Indexing files for search, a moment after they were changed."""

from chalicelib.db.search import index_files
from chalicelib.services.context import Context


def index_some(ctx: Context, most: int) -> int:
    """Index up to ``most`` files whose words have changed, the newest first; returns how many there were."""
    with ctx.transaction() as tx:
        return index_files(tx.session, most)
