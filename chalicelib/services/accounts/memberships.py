"""Acting in a session of another user, for a caller whom the session is shared with.

A caller's own files come first. Only what isn't found there, or what names another owner, is looked for among the sessions
that are shared with the caller: one statement. Everything after that is done in the scope of the session's owner, confined to
the session, so that each list stays a walk along one owner's index.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from chalicelib.catalog.objects import Location
from chalicelib.catalog.roles import Membership, Right
from chalicelib.db import session_members
from chalicelib.db.engine import Session
from chalicelib.errors import Forbidden, LandfallError, NotFound, TooManyJobs
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.context import Context


@dataclass(frozen=True, slots=True)
class NamedSession:
    """A session as a request names it: ``owner_id`` None is the caller."""

    owner_id: UUID | None
    session_id: str


def acting_in(session: Session, principal: Principal, named: NamedSession | None, needs: Right) -> Principal:
    """The caller, acting in the session that a request names, if that is another user's.

    An operator acts in any session as its owner does.

    Raises:
        NotFound: there is no such session, or none that is shared with the caller. Forbidden: the caller may see the session,
            but has no such right in it.
    """
    if named is None or named.owner_id in (None, principal.user_id):
        return principal
    assert named.owner_id is not None
    if principal.is_operator:
        return principal.acting_as(Membership(named.owner_id, named.session_id, "owner"))
    found = None
    if principal.may_be_member:
        found = session_members.find_membership(session, principal.user_id, named.owner_id, named.session_id)
    if found is None:
        raise NotFound(f"There is no session {named.session_id}.")
    return principal.acting_as(_allowed(found, needs))


def acting_in_session(ctx: Context, owner_id: UUID | None, session_id: str | None, needs: Right) -> Context:
    """The same context, acting in a session of another user, if these two name one.

    Raises: see `acting_in`.
    """
    if owner_id in (None, ctx.principal.user_id) or session_id is None:
        return ctx
    with ctx.transaction() as tx, tx.as_landfall():
        return ctx.acting(acting_in(tx.session, ctx.principal, NamedSession(owner_id, session_id), needs))


def acting_for_file(session: Session, principal: Principal, file_id: UUID, needs: Right) -> Principal | None:
    """The caller, acting in the session of another user's file; None if the file isn't shared with the caller.

    Raises:
        Forbidden: the caller may see the file, but has no such right in its session.
    """
    if not principal.may_be_member:
        return None
    found = session_members.find_memberships_of(session, principal.user_id, [file_id]).get(file_id)
    return None if found is None else principal.acting_as(_allowed(found, needs))


def acting_at(session: Session, principal: Principal, location: Location, needs: Right) -> Principal | None:
    """As `acting_for_file`, for the file at a location."""
    if not principal.may_be_member:
        return None
    found = session_members.find_membership_at(session, principal.user_id, *location)
    return None if found is None else principal.acting_as(_allowed(found, needs))


class FileOutcome(Protocol):
    """What became of one of many files: ``error`` is None if it worked."""

    @property
    def file_id(self) -> UUID: ...

    @property
    def error(self) -> LandfallError | None: ...


_OutcomeT = TypeVar("_OutcomeT", bound=FileOutcome)


def act_on_each(
    ctx: Context,
    file_ids: Sequence[UUID],
    needs: Right,
    act: Callable[[Context, Sequence[UUID]], list[_OutcomeT]],
    failed: Callable[[UUID, LandfallError], _OutcomeT],
) -> list[_OutcomeT]:
    """Act on the caller's files, and on those of sessions that are shared with it; returns what became of each, in their order.

    ``failed`` makes the outcome of a file in whose session the caller has no such right, or for which it has too many jobs.

    Raises:
        TooManyJobs: the caller has too many for its own files; nothing was done.
    """
    outcomes = {outcome.file_id: outcome for outcome in act(ctx, file_ids)}
    missing = [file_id for file_id, outcome in outcomes.items() if isinstance(outcome.error, NotFound)]
    for membership, shared in _by_membership(ctx, missing).items():
        try:
            acting = ctx.acting(ctx.principal.acting_as(_allowed(membership, needs)))
            outcomes |= {outcome.file_id: outcome for outcome in act(acting, shared)}
        except (Forbidden, TooManyJobs) as error:  # what was begun in other sessions goes on
            outcomes |= {file_id: failed(file_id, error) for file_id in shared}
    return [outcomes[file_id] for file_id in file_ids]


def contexts_for(ctx: Context, missing: Sequence[UUID]) -> list[tuple[Context, list[UUID]]]:
    """Of files that aren't the caller's own, those that are shared with it, each with a context that acts in its session."""
    found = _by_membership(ctx, missing)
    return [(ctx.acting(ctx.principal.acting_as(membership)), file_ids) for membership, file_ids in found.items()]


def _by_membership(ctx: Context, missing: Sequence[UUID]) -> dict[Membership, list[UUID]]:
    groups: dict[Membership, list[UUID]] = defaultdict(list)
    if missing and ctx.principal.may_be_member:
        with ctx.transaction() as tx, tx.as_landfall():
            found = session_members.find_memberships_of(tx.session, ctx.principal.user_id, missing)
        for file_id, membership in found.items():
            groups[membership].append(file_id)
    return groups


def _allowed(membership: Membership, needs: Right) -> Membership:
    if not membership.includes(needs):
        raise Forbidden(f"This takes the role {needs} in the session; yours is {membership.right}.")
    return membership
