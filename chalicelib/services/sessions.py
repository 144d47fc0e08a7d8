"""Sessions: groups of uploads under ids that their owners choose. A session is addressed by its owner alone."""

from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy import Select, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session as DatabaseSession

from chalicelib.catalog.metadata_sizes import printed_bytes
from chalicelib.db.locks import lock_files
from chalicelib.db.models import File, Session
from chalicelib.db.pages import Order, Slice, fetch_slice
from chalicelib.db.usage import UsageNow, read_usage
from chalicelib.errors import Conflict, NotFound
from chalicelib.ids import uuid7
from chalicelib.services.principals import Principal

_TRIES = 3


class SessionChanges(TypedDict, total=False):
    """The fields of a session to change; those left out stay."""

    name: str | None
    metadata: dict[str, Any]
    limits: dict[str, Any]


def list_sessions(
    session: DatabaseSession, principal: Principal, descending: bool, limit: int, cursor: str | None
) -> Slice[Session]:
    """The caller's sessions, an operator's view being everyone's, in the order of their creation or against it.

    Raises:
        InvalidCursor: the cursor is not one of this list and order.
    """
    statement = select(Session)
    if not principal.is_operator:
        statement = statement.where(Session.owner_id == principal.user_id)
    return fetch_slice(
        session, statement, Order("sessions", Session.id, Session.id, descending), limit, cursor, _weight
    )


def _weight(session: Session) -> int:
    return printed_bytes(session.metadata_)


def get_session(session: DatabaseSession, principal: Principal, session_id: str) -> Session:
    """The caller's session of this id.

    Raises:
        NotFound: the caller has none.
    """
    return _own(session, principal, session_id)


def open_session(
    session: DatabaseSession,
    principal: Principal,
    session_id: str | None,
    name: str | None,
    metadata: dict[str, Any],
    limits: dict[str, Any],
    now: datetime,
) -> tuple[Session, bool]:
    """The caller's session of this id, and whether it is new. One that was there already is left as it is.

    However many callers open the same id at the same time, one of them creates it and all get it. Without
    ``session_id`` the session's own id becomes it.

    Raises:
        Conflict: others keep opening and deleting the same id.
    """
    identifier = uuid7(now)
    session_id = session_id or str(identifier)
    values = {
        Session.id: identifier,
        Session.owner_id: principal.user_id,
        Session.session_id: session_id,
        Session.name: name,
        Session.metadata_: metadata,
        Session.limits: limits,
        Session.created_at: now,
        Session.updated_at: now,
    }
    statement = insert(Session).values(values).on_conflict_do_nothing().returning(Session)
    for _ in range(_TRIES):
        if created := session.scalar(statement):
            return created, True
        # The insert has waited for whoever was creating it, so this statement's snapshot shows it; unless it was
        # deleted in between. Locked, so that it is still there when the caller's files refer to it.
        if existing := session.scalar(_query(principal.user_id, session_id).with_for_update(read=True, key_share=True)):
            return existing, False
    raise Conflict("Others keep opening and deleting this session.")


def change_session(
    session: DatabaseSession, principal: Principal, session_id: str, changes: SessionChanges, now: datetime
) -> Session:
    """The caller's session with ``changes`` made to it; its metadata is replaced as a whole.

    Raises:
        NotFound: the caller has none of this id.
    """
    found = _own(session, principal, session_id, lock=True)
    if "name" in changes:
        found.name = changes["name"]
    if "metadata" in changes:
        found.metadata_ = changes["metadata"]
    if "limits" in changes:
        found.limits = changes["limits"]
    if changes:
        found.updated_at = now
    session.flush()
    return found


def usage_of(session: DatabaseSession, principal: Principal, session_id: str) -> UsageNow:
    """How many files and bytes the caller's session has.

    Raises:
        NotFound: the caller has none of this id.
    """
    found = _own(session, principal, session_id)
    return read_usage(session, found.owner_id, found.session_id)


def delete_session(session: DatabaseSession, principal: Principal, session_id: str) -> None:
    """Forget the caller's session. Its files stay, and belong to no session then.

    Raises:
        NotFound: the caller has none of this id.
    """
    found = _own(session, principal, session_id, lock=True)
    # Its foreign key takes it from its files, in whatever order.
    its = File.owner_id == found.owner_id, File.session_id == found.session_id
    lock_files(session, session.scalars(select(File.id).where(*its)).all())
    session.execute(delete(Session).where(Session.id == found.id))


def _own(session: DatabaseSession, principal: Principal, session_id: str, lock: bool = False) -> Session:
    found = _find(session, principal.user_id, session_id, lock)
    if found is None:
        raise NotFound(f"There is no session {session_id}.")
    return found


def _find(session: DatabaseSession, owner_id: UUID, session_id: str, lock: bool = False) -> Session | None:
    statement = _query(owner_id, session_id)
    return session.scalar(statement.with_for_update() if lock else statement)


def _query(owner_id: UUID, session_id: str) -> Select[Session]:
    return select(Session).where(Session.owner_id == owner_id, Session.session_id == session_id)
