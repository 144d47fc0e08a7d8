"""The trail: who did what to which file. Whatever changes something notes it here, in its own transaction.

Where the object store acts, too, the act is noted in the last transaction before it is asked. So a process that dies between
the two leaves a line too many rather than one too few; the event that follows says that it happened.
"""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from chalicelib.catalog.acts import Act, ActFilters, Actor
from chalicelib.db import trail
from chalicelib.db.deadlines import within
from chalicelib.db.pages import Page
from chalicelib.db.scope import Owner
from chalicelib.errors import Forbidden
from chalicelib.services.accounts.principals import NO_USER
from chalicelib.services.context import Context, Transaction

_AT_ONCE = 10_000
_MOST = 100


def note(tx: Transaction, act: Act, file_ids: Collection[UUID], subject_id: UUID | None = None) -> None:
    """Note that this was done to these files. ``subject_id``: the share or job that it was done with."""
    if file_ids:
        trail.add_acts(tx.session, _actor(tx), [(act, file_id) for file_id in file_ids], tx.now, subject_id=subject_id)


def note_all(tx: Transaction, acts: Collection[Act], file_id: UUID) -> None:
    """Note that all of this was done to one file."""
    if acts:
        trail.add_acts(tx.session, _actor(tx), [(act, file_id) for act in acts], tx.now)


def note_about(tx: Transaction, act: Act, subject_id: UUID | None, owner_id: UUID | None = None) -> None:
    """Note what was done to something else than a file: a user, a session, a key. ``owner_id``: whom it concerns."""
    actor = _actor(tx)
    whom = owner_id or actor.user_id
    trail.add_acts(tx.session, actor, [(act, None)], tx.now, owner_id=whom, subject_id=subject_id)


def list_acts(tx: Transaction, filters: ActFilters, limit: int, cursor: str | None) -> Page:
    """A page of what was done to the caller's files and account, or for an operator to everyone's; the latest first.

    Raises:
        Forbidden: the caller may see only a part of what its user owns. InvalidCursor: the cursor is not one of this list.
        TooBroad: finding them takes too long.
    """
    scope = tx.scope
    if isinstance(scope, Owner) and (scope.prefix is not None or scope.session_id is not None):
        raise Forbidden("Who sees only some files reads the trail of each of them.")
    with within(tx.session, tx.settings.query_seconds):
        return trail.list_acts(tx.session, scope, filters, limit, cursor)


def forget_old_acts(ctx: Context) -> int:
    """Forget what was done longer ago than `LANDFALL_TRAIL_DAYS`; returns how many acts."""
    if not ctx.settings.trail_days:
        return 0
    before, forgotten = ctx.now - timedelta(days=ctx.settings.trail_days), 0
    for _ in range(_MOST):
        with ctx.transaction() as tx:
            some = trail.forget_acts(tx.session, before, _AT_ONCE)
        forgotten += some
        if some < _AT_ONCE:
            break
    return forgotten


def _actor(tx: Transaction) -> Actor:
    known = tx.principal.user_id != NO_USER
    return Actor(tx.principal.user_id if known else None, tx.principal.key_id, tx.cause)
