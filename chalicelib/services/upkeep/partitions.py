"""The event table's partitions of the months to come."""

from chalicelib.db.partitions import ensure_event_partitions
from chalicelib.services.context import Context


def make_partitions(ctx: Context) -> list[str]:
    """Make the event table's partitions of the coming months; returns the names of those that were missing."""
    with ctx.transaction() as tx:
        return ensure_event_partitions(tx.session.connection(), tx.now)
