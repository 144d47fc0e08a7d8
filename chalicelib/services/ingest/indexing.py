"""Indexing files for search, a moment after they were changed."""

from chalicelib.db.search import index_files
from chalicelib.services.context import Context


def index_some(ctx: Context, limit: int) -> int:
    """Index up to ``limit`` files whose words have changed, the newest first; returns how many there were."""
    with ctx.transaction() as tx:
        return index_files(tx.session, limit)
