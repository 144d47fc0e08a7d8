"""What recording has changed of the owners' usage, added up."""

from chalicelib.db.usage import add_up_changes
from chalicelib.services.context import Context


def add_up_usage(ctx: Context) -> int:
    """Add up what recording has changed; returns how many changes there were. It counts without that, too."""
    return ctx.in_transaction(lambda tx: add_up_changes(tx.session))
