"""The users table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import delete, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chalicelib.catalog.roles import Role
from chalicelib.db.engine import prepared_read
from chalicelib.db.models import User
from chalicelib.db.pages import Order, Page, in_utc, list_by_id
from chalicelib.db.rows import read_row
from chalicelib.db.scope import Owner, Scope, bound_owner
from chalicelib.db.session_members import claim_memberships, leave_address, move_memberships

# A user's or a session's limits as `chalicelib.api.schemas.common.LimitsBody` has them.
LIMITS = """jsonb_build_object('max_file_bytes', null, 'media_types', null, 'max_bytes', null, 'max_files', null,
    'refuse_mismatch', null) || limits AS limits"""
# As `chalicelib.api.schemas.users.UserOut` has it.
_ITEM = f"""id, name, email, role, {LIMITS}, {in_utc("created_at")} AS created_at, {in_utc("updated_at")} AS updated_at,
    {in_utc("disabled_at")} AS disabled_at"""
# A user owns itself.
_IN_SCOPE = "(CAST(:owner_id AS uuid) IS NULL OR id = CAST(:owner_id AS uuid))"
_KNOWN = "SELECT id, role, disabled_at IS NOT NULL AS is_disabled FROM users WHERE"
_FIND_KNOWN = prepared_read(text(f"{_KNOWN} id = CAST(:id AS uuid)"))
# In one order, so that two who lock the same users never wait for each other.
_LOCK_KNOWN = text(f"{_KNOWN} id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE")


_LIMITS = prepared_read(text("SELECT limits FROM users WHERE id = CAST(:id AS uuid)"))


# With "delete", nobody can give the user anything meanwhile. With "change", others may: whoever names its address holds that
# already, and would wait for the user, and the change of the address for that.
Lock = Literal["change", "delete"]


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A user and what it may do, which the user's row says, and never a token. Nobody may act as one that is disabled.

    ``lacks_email``: it has no e-mail address, and nobody has the one that it came with.
    """

    user_id: UUID
    role: Role
    is_disabled: bool = False
    lacks_email: bool = False


def list_users(session: Session, scope: Scope, limit: int, cursor: str | None) -> Page:
    """A page of the users in a scope, in the order of their creation.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    bound = {"owner_id": bound_owner(scope)}
    return list_by_id(session, Order("users"), _ITEM, f"users WHERE {_IN_SCOPE}", bound, limit, cursor)


def find_user(session: Session, scope: Scope, user_id: UUID, *, lock: Lock | None = None) -> User | None:
    """One user; None if there is none in this scope. ``lock``: keep others from changing it until the transaction ends."""
    if isinstance(scope, Owner) and scope.user_id != user_id:
        return None
    return session.get(User, user_id, with_for_update=None if lock is None else {"key_share": lock == "change"})


def find_known_user(session: Session, user_id: UUID) -> KnownUser | None:
    """A user, and what it may do; None if there is no such user."""
    row = read_row(session, _FIND_KNOWN, {"id": user_id})
    return None if row is None else KnownUser(*row)


def lock_known_users(session: Session, user_ids: Sequence[UUID]) -> dict[UUID, KnownUser]:
    """Those of these users that there are, by their ids. Nobody changes them until the transaction ends."""
    rows = session.execute(_LOCK_KNOWN, {"ids": list(user_ids)})
    return {row.id: KnownUser(*row) for row in rows}


def find_limits(session: Session, owner: Owner) -> dict[str, Any]:
    """The limits that an operator has set for a user; none if there is no such user."""
    return session.scalar(_LIMITS, {"id": owner.user_id}) or {}


def add_user(session: Session, user: User) -> None:
    """Add a user.

    Raises:
        DBAPIError: the email address is taken.
    """
    session.add(user)
    session.flush()
    claim_memberships(session, user.id)


def ensure_user(session: Session, user_id: UUID, name: str, role: Role, born: datetime) -> None:
    """Make sure that this user has a row. Doing it again changes nothing."""
    values = {"id": user_id, "name": name, "role": role, "created_at": born, "updated_at": born}
    session.execute(insert(User).values(**values).on_conflict_do_nothing())


def change_user(session: Session, user: User, changes: Mapping[str, Any]) -> None:
    """Change columns of a user."""
    email_before = user.email
    for name, value in changes.items():
        setattr(user, name, value)
    session.flush()
    if user.email != email_before:
        move_memberships(session, user.id, email_before)


def delete_user(session: Session, user_id: UUID) -> None:
    """Delete a user. The foreign keys refuse it while anything belongs to the user, also what is being added right now."""
    leave_address(session, user_id)
    session.execute(delete(User).where(User.id == user_id))
