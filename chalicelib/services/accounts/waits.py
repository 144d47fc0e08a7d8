"""Requests that wait for something: each holds a function, so only so many may wait at once."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from chalicelib.db import waits
from chalicelib.errors import DatabaseUnavailable
from chalicelib.ids import uuid7
from chalicelib.services.context import Context

_GRACE_SECONDS = 5  # a wait ends with one more look, and the answer


@contextmanager
def place_to_wait(ctx: Context, seconds: float) -> Iterator[bool]:
    """Whether this request may wait for up to ``seconds``: not if too many of the caller's, or of everybody's, wait already.

    If this process dies meanwhile, the place is free again when the time is over.
    """
    place, settings = uuid7(ctx.now), ctx.settings
    of_user, in_all = settings.waits_per_user, settings.waits
    with ctx.transaction() as tx, tx.as_landfall():  # those of others count, too
        until = seconds + _GRACE_SECONDS
        is_free = waits.take_place(tx.session, place, tx.principal.user_id, until, of_user, in_all)
    try:
        yield is_free
    finally:
        if is_free:
            with suppress(DatabaseUnavailable), ctx.transaction() as tx, tx.as_landfall():
                waits.free_place(tx.session, place)
