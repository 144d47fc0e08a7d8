"""Sessions: groups of uploads under ids that their owners choose. Others address one by its owner and its id."""

from dataclasses import dataclass, field
from typing import Any, TypedDict

from chalicelib.catalog.limits import Limits
from chalicelib.db import sessions
from chalicelib.db.deadlines import within
from chalicelib.db.engine import commit_so_far
from chalicelib.db.models import Session
from chalicelib.db.pages import NO_ITEMS, Page
from chalicelib.db.scope import Owner
from chalicelib.db.usage import UsageNow, read_usage
from chalicelib.errors import Conflict, Forbidden, NotFound
from chalicelib.services.accounts import trail
from chalicelib.services.accounts.confinement import session_of_new
from chalicelib.services.context import Transaction

_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to open. Without ``session_id``, the id of its row is taken."""

    session_id: str | None
    name: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)


class SessionChanges(TypedDict, total=False):
    """The fields of a session to change; those left out stay."""

    name: str | None
    metadata: dict[str, Any]
    limits: dict[str, Any]


def list_sessions(tx: Transaction, descending: bool, limit: int, cursor: str | None) -> Page:
    """A page of the caller's sessions, or for an operator of everyone's, in the order of their creation or against it.

    Raises:
        InvalidCursor: the cursor is not one of this list and order.
    """
    return sessions.list_sessions(tx.session, tx.scope, descending, limit, cursor)


def list_shared_sessions(tx: Transaction, descending: bool, limit: int, cursor: str | None) -> Page:
    """A page of others' sessions that are shared with the caller, each with the caller's role.

    Raises:
        InvalidCursor: the cursor is not one of this list and order.
    """
    if not tx.principal.is_whole:
        return NO_ITEMS
    with tx.as_landfall():
        return sessions.list_shared_sessions(tx.session, tx.principal.user_id, descending, limit, cursor)


def get_session(tx: Transaction, session_id: str) -> Session:
    """The caller's session of this id.

    Raises:
        NotFound: the caller has none.
    """
    return _own(tx, session_id)


def open_session(tx: Transaction, new: NewSession) -> tuple[Session, bool]:
    """The caller's session of this id, and whether it is new. A session that was there already is left as it is.

    Raises:
        Conflict: others keep opening and deleting the same id.
        Forbidden: the caller's API key is for another session, or for a prefix.
    """
    session_id = session_of_new(tx.principal, new.session_id)
    if session_id is None and tx.principal.prefix is not None:
        raise Forbidden(f"This API key is for files below {tx.principal.prefix}, and for no session.")
    values = {"name": new.name, "metadata": new.metadata, "limits": new.limits}
    opened = sessions.add_session(tx.session, tx.principal.itself, session_id, values, tx.now)
    if opened is None:
        raise Conflict("Others keep opening and deleting this session.")
    session, is_new = opened
    if is_new:
        trail.note_about(tx, "make_session", session.id)
    return opened


def change_session(tx: Transaction, session_id: str, changes: SessionChanges) -> Session:
    """The caller's session with ``changes`` made to it; its metadata is replaced as a whole.

    Raises:
        NotFound: the caller has none of this id. Forbidden: an API key that is for the session wants to change its limits.
    """
    found = _own(tx, session_id, lock=True)
    if Limits.of(changes.get("limits", found.limits)) != Limits.of(found.limits):
        _require_not_bound_to_it(tx, "change its limits")
    sessions.change_session(tx.session, found, {**changes, "updated_at": tx.now} if changes else {})
    if changes:
        trail.note_about(tx, "change_session", found.id, found.owner_id)
    return found


def usage_of(tx: Transaction, session_id: str) -> UsageNow:
    """How many files and bytes the caller's session has.

    Raises:
        NotFound: the caller has none of this id. TooBroad: counting takes too long.
    """
    with within(tx.session, tx.settings.query_seconds):
        found = _own(tx, session_id)
        return read_usage(tx.session, Owner(found.owner_id), found.session_id)


def delete_session(tx: Transaction, session_id: str) -> None:
    """Delete the caller's session. Its files stay, and belong to no session then.

    Of many files it is taken in several transactions: a single one would keep all that lands meanwhile waiting. If this process
    dies in between, the session has the rest of its files, and can be deleted again.

    Raises:
        NotFound: the caller has none of this id. Forbidden: the caller's API key is for it alone.
    """
    _require_not_bound_to_it(tx, "delete it")
    found = _own(tx, session_id, lock=True)
    this = found.id
    trail.note_about(tx, "delete_session", this, found.owner_id)
    while not sessions.delete_session(tx.session, found, _AT_ONCE):
        commit_so_far(tx.session)
        again = sessions.find_session(tx.session, tx.principal.itself, session_id, lock=True)
        if again is None or again.id != this:  # somebody else has deleted it meanwhile, and may have opened another one
            return
        found = again


def _require_not_bound_to_it(tx: Transaction, doing: str) -> None:
    """Refuse an API key that is for the session: the limits hold for such a key, and its files stay in there."""
    if tx.principal.session_id is not None:
        raise Forbidden(f"This API key is for the session {tx.principal.session_id} alone, and doesn't {doing}.")


def _own(tx: Transaction, session_id: str, lock: bool = False) -> Session:
    found = sessions.find_session(tx.session, tx.principal.itself, session_id, lock=lock)
    if found is None:
        raise NotFound(f"There is no session {session_id}.")
    return found
