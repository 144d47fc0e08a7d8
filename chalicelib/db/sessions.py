"""The sessions table. A session is known by its owner and the id that the owner chose."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session as DatabaseSession

from chalicelib.db.locks import lock_files
from chalicelib.db.models import File, Session
from chalicelib.db.pages import Order, Page, in_utc, list_by_id
from chalicelib.db.scope import IN_SCOPE, Owner, Scope, bound_owner
from chalicelib.db.users import LIMITS
from chalicelib.ids import uuid7

# As `chalicelib.api.schemas.sessions.SessionOut` has it.
_ITEM = f"""id, session_id, name, metadata, {LIMITS}, owner_id, {in_utc("created_at")} AS created_at,
    {in_utc("updated_at")} AS updated_at, {{role}} AS role"""
_TRIES = 3


def list_sessions(session: DatabaseSession, scope: Scope, descending: bool, limit: int, cursor: str | None) -> Page:
    """A page of the sessions in a scope, in the order of their creation or against it.

    Raises:
        InvalidCursor: the cursor is not one of this list and order.
    """
    order, bound = Order("sessions", descending=descending), {"owner_id": bound_owner(scope)}
    item = _ITEM.format(role="'owner'")
    return list_by_id(session, order, item, f"sessions WHERE {IN_SCOPE}", bound, limit, cursor)


# As `chalicelib.db.session_members` says which membership counts.
_SHARED = """(
    SELECT s.*, m.role FROM sessions AS s JOIN users AS o ON o.id = s.owner_id AND o.disabled_at IS NULL JOIN (
        SELECT session_row_id, min(role) AS role FROM session_members
        WHERE user_id = CAST(:user_id AS uuid) AND ended_at IS NULL GROUP BY session_row_id) AS m ON m.session_row_id = s.id
    WHERE s.owner_id <> CAST(:user_id AS uuid)) AS shared WHERE true"""


def list_shared_sessions(
    session: DatabaseSession, user_id: UUID, descending: bool, limit: int, cursor: str | None
) -> Page:
    """A page of the sessions of others that are shared with a user, each with the user's role, as `list_sessions` orders them.

    Raises:
        InvalidCursor: the cursor is not one of this list and order.
    """
    order, item = Order("shared sessions", descending=descending), _ITEM.format(role="role")
    return list_by_id(session, order, item, _SHARED, {"user_id": user_id}, limit, cursor)


def find_session(session: DatabaseSession, owner: Owner, session_id: str, *, lock: bool = False) -> Session | None:
    """An owner's session; None if there is none. ``lock``: keep others from changing it until the transaction ends."""
    statement = _query(owner, session_id)
    return session.scalar(statement.with_for_update() if lock else statement)


def has_session(session: DatabaseSession, owner: Owner, session_id: str) -> bool:
    """Whether an owner has such a session. If so, nobody deletes it until the transaction ends."""
    found = select(Session.id).where(Session.owner_id == owner.user_id, Session.session_id == session_id)
    return session.scalar(found.with_for_update(key_share=True, read=True)) is not None


def find_limits(session: DatabaseSession, owner: Owner, session_id: str) -> dict[str, Any]:
    """A session's limits; none if there is no such session."""
    found = select(Session.limits).where(Session.owner_id == owner.user_id, Session.session_id == session_id)
    return session.scalar(found) or {}


def add_session(
    session: DatabaseSession, owner: Owner, session_id: str | None, values: Mapping[str, Any], now: datetime
) -> tuple[Session, bool] | None:
    """The owner's session of this id, and whether it is new. A session that was there already is left as it is.

    If several transactions add the same id at once, one of them makes the session and all get it. Without
    ``session_id``, the row's own id is taken. The result is None if others kept adding and deleting the session.
    """
    identifier = uuid7(now)
    session_id = session_id or str(identifier)
    row = {"id": identifier, "owner_id": owner.user_id, "session_id": session_id, "created_at": now, "updated_at": now}
    columns = {_ATTRIBUTES.get(name, name): value for name, value in {**row, **values}.items()}
    statement = insert(Session).values(**columns).on_conflict_do_nothing().returning(Session)
    for _ in range(_TRIES):
        if created := session.scalar(statement):
            return created, True
        # The insert has waited for the transaction that created the session, so this statement sees it, unless it was
        # deleted in between. It is locked, so that it is still there when the caller's files refer to it.
        if existing := session.scalar(_query(owner, session_id).with_for_update(read=True, key_share=True)):
            return existing, False
    return None


def change_session(session: DatabaseSession, found: Session, changes: Mapping[str, Any]) -> None:
    """Change columns of a session."""
    for name, value in changes.items():
        setattr(found, _ATTRIBUTES.get(name, name), value)
    session.flush()


def delete_session(session: DatabaseSession, found: Session, most: int) -> bool:
    """Delete a session with up to ``most`` files. If it has more, take it from so many of them; says whether it is deleted.

    The foreign key would take it from its files in no certain order, so the files are locked first.
    """
    its = File.owner_id == found.owner_id, File.session_id == found.session_id
    files = session.scalars(select(File.id).where(*its).order_by(File.id).limit(most + 1)).all()
    some = files[:most]
    lock_files(session, some)
    if len(files) > most:
        session.execute(update(File).where(File.id.in_(some)).values(session_id=None))
        return False
    session.execute(delete(Session).where(Session.id == found.id))
    return True


# The model's attribute has another name, because SQLAlchemy uses ``metadata`` itself.
_ATTRIBUTES = {"metadata": "metadata_"}


def _query(owner: Owner, session_id: str) -> Select[Session]:
    return select(Session).where(Session.owner_id == owner.user_id, Session.session_id == session_id)
