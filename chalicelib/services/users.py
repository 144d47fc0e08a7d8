"""Users: who owns files. A member sees and changes itself; an operator everyone."""

from datetime import UTC, datetime
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chalicelib.db.models import User
from chalicelib.db.pages import Order, Slice, fetch_slice
from chalicelib.db.usage import UsageNow, read_usage
from chalicelib.errors import Conflict, Forbidden, NotFound
from chalicelib.ids import moment_of, uuid7
from chalicelib.services.principals import DEMO_USER_ID, Principal, Role


class UserChanges(TypedDict, total=False):
    """The fields of a user to change; those left out stay."""

    name: str
    email: str | None
    role: Role
    limits: dict[str, Any]


def ensure_demo_user(session: Session) -> None:
    """Make sure that the demo operator has a row, so that it can own things. Doing it again changes nothing."""
    born = moment_of(DEMO_USER_ID).astimezone(UTC)
    session.execute(
        insert(User)
        .values(id=DEMO_USER_ID, name="Demo operator", role="operator", created_at=born, updated_at=born)
        .on_conflict_do_nothing()
    )


def list_users(session: Session, principal: Principal, limit: int, cursor: str | None) -> Slice[User]:
    """The users that the caller may see, in the order of their creation.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    statement = select(User)
    if not principal.is_operator:
        statement = statement.where(User.id == principal.user_id)
    return fetch_slice(session, statement, Order("users", User.id, User.id), limit, cursor)


def get_user(session: Session, principal: Principal, user_id: UUID) -> User:
    """One user.

    Raises:
        NotFound: there is none, or the caller may not see it.
    """
    return _visible(session, principal, user_id)


def create_user(
    session: Session,
    principal: Principal,
    name: str,
    email: str | None,
    role: Role,
    limits: dict[str, Any],
    now: datetime,
) -> User:
    """A new user.

    Raises:
        Forbidden: the caller is no operator.
        Conflict: the email address is taken, whatever its case.
    """
    _require_operator(principal, "create users")
    user = User(id=uuid7(now), name=name, email=email, role=role, limits=limits, created_at=now, updated_at=now)
    session.add(user)
    session.flush()
    return user


def change_user(session: Session, principal: Principal, user_id: UUID, changes: UserChanges, now: datetime) -> User:
    """A user with ``changes`` made to it.

    Raises:
        NotFound: there is none, or the caller may not see it.
        Forbidden: a member would change its role, limits or email address.
        Conflict: the email address is taken.
    """
    user = _visible(session, principal, user_id, lock=True)
    if changes.get("role", user.role) != user.role:
        _require_operator(principal, "change roles")
    if changes.get("limits", user.limits) != user.limits:
        _require_operator(principal, "change limits")
    if changes.get("email", user.email) != user.email:  # who may try addresses learns who else is here
        _require_operator(principal, "change email addresses")
    for name, value in changes.items():
        setattr(user, name, value)
    if changes:
        user.updated_at = now
    session.flush()
    return user


def usage_of(session: Session, principal: Principal, user_id: UUID) -> UsageNow:
    """How many files and bytes a user has.

    Raises:
        NotFound: there is none, or the caller may not see it.
    """
    user = _visible(session, principal, user_id)
    return read_usage(session, user.id)


def delete_user(session: Session, principal: Principal, user_id: UUID) -> None:
    """Forget a user.

    Raises:
        NotFound: there is none, or the caller may not see it.
        Forbidden: the caller is no operator.
        Conflict: it is the caller itself, or it still owns files or sessions.
    """
    _visible(session, principal, user_id, lock=True)
    _require_operator(principal, "delete users")
    if user_id == principal.user_id:
        raise Conflict("Nobody deletes themselves: ask another operator.")
    # What the user owns, also what is being added right now, is the foreign keys' business.
    session.execute(delete(User).where(User.id == user_id))


def _visible(session: Session, principal: Principal, user_id: UUID, lock: bool = False) -> User:
    options: dict[str, Any] = {"with_for_update": True} if lock else {}
    may_see = principal.is_operator or user_id == principal.user_id
    user = session.get(User, user_id, **options) if may_see else None
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    return user


def _require_operator(principal: Principal, doing: str) -> None:
    if not principal.is_operator:
        raise Forbidden(f"Only operators {doing}.")
