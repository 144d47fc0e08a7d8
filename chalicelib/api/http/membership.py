"""Requests about what is shared with the caller: which session or file of another user they name.

- ``owner_id`` beside ``session_id``, in the path, the query or the body, names a session of another user.
- ``file_id`` in the path names a file, and so does a ``key`` in a query or a body.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any
from uuid import UUID

from chalicelib import runtime
from chalicelib.api.http.exchange import Exchange
from chalicelib.catalog.objects import Location
from chalicelib.catalog.roles import Right
from chalicelib.db.engine import Session
from chalicelib.db.refusals import meaningful_refusals
from chalicelib.errors import Forbidden
from chalicelib.services.accounts import memberships
from chalicelib.services.accounts.memberships import NamedSession
from chalicelib.services.accounts.principals import Principal

# A request's path, query and body, each as its model or None.
Parts = Sequence[Any]


def names_another(principal: Principal, parts: Parts) -> bool:
    """Whether a request names a session of another user."""
    named = _session(parts)
    return named is not None and named.owner_id not in (None, principal.user_id)


def acting_in_named(session: Session, principal: Principal, parts: Parts, needs: Right) -> Principal:
    """The caller, acting in the session of another user that a request names, if it names one.

    Raises: see `memberships.acting_in`.
    """
    return memberships.acting_in(session, principal, _session(parts), needs)


def acting_for_named(session: Session, principal: Principal, parts: Parts, needs: Right) -> Principal | None:
    """The caller, acting in the session of the file that a request names; None if no such file is shared with the caller.

    Raises: see `memberships.acting_for_file`.
    """
    if names_another(principal, parts):
        return None  # it was looked for, and is not shared
    file_id, key = _first(parts, "file_id"), _first(parts, "key")
    if isinstance(file_id, UUID):
        return memberships.acting_for_file(session, principal, file_id, needs)
    if isinstance(key, str):
        return memberships.acting_at(session, principal, Location(runtime.settings().bucket, key), needs)
    return None


def require_still_there(exchange: Exchange, principal: Principal) -> None:
    """Check that a caller who has waited is still who it was, with its role, or its right in the session that it acts in.

    Raises:
        Unauthenticated: its token or key has ended. NotFound: its membership has. Forbidden: it is no operator any more.
    """
    with meaningful_refusals(), runtime.transaction() as session:
        now = runtime.callers().identify(exchange.headers, lambda: nullcontext(session))
        if principal.is_operator and not now.is_operator:
            raise Forbidden("The caller is no operator any more.")
        if principal.acting is not None:
            named = NamedSession(principal.acting.owner_id, principal.acting.session_id)
            memberships.acting_in(session, now, named, "viewer")


def _session(parts: Parts) -> NamedSession | None:
    owner_id, session_id = _first(parts, "owner_id"), _first(parts, "session_id")
    return NamedSession(owner_id, session_id) if owner_id is not None and session_id is not None else None


def _first(parts: Parts, name: str) -> Any:
    """What the first of a request's parts that has a field says in it."""
    return next((value for part in parts if (value := getattr(part, name, None)) is not None), None)
