"""Users: who owns files. A member sees and changes itself; an operator sees and changes everyone."""

from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, TypedDict
from uuid import UUID

from chalicelib.catalog.acts import Act
from chalicelib.catalog.roles import Role
from chalicelib.db import handing_over, identities, jobs, users
from chalicelib.db.deadlines import within
from chalicelib.db.engine import Session
from chalicelib.db.models import User
from chalicelib.db.pages import Page
from chalicelib.db.scope import Owner
from chalicelib.db.usage import UsageNow, read_usage
from chalicelib.errors import AccountDisabled, Conflict, Forbidden, NotFound
from chalicelib.ids import moment_of, uuid7
from chalicelib.services.accounts import trail
from chalicelib.services.accounts.principals import DEMO_USER_ID
from chalicelib.services.context import Transaction

# More are left to a job.
_TOMBSTONES_AT_ONCE = 1000
_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to create. ``limits`` is a JSON object of `chalicelib.catalog.limits.Limits`."""

    name: str
    email: str | None = None
    role: Role = "member"
    limits: dict[str, Any] = field(default_factory=dict)


class UserChanges(TypedDict, total=False):
    """The fields of a user to change; those left out stay. ``disabled``: whether nobody may act as the user."""

    name: str
    email: str | None
    role: Role
    limits: dict[str, Any]
    disabled: bool


def ensure_demo_user(session: Session) -> None:
    """Make sure that the demo operator has a row, so that it can own things. Doing it again changes nothing."""
    users.ensure_user(session, DEMO_USER_ID, "Demo operator", "operator", moment_of(DEMO_USER_ID).astimezone(UTC))


def list_users(tx: Transaction, limit: int, cursor: str | None) -> Page:
    """A page of the users that the caller may see, in the order of their creation.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    return users.list_users(tx.session, tx.scope, limit, cursor)


def get_user(tx: Transaction, user_id: UUID) -> User:
    """One user.

    Raises:
        NotFound: there is none, or the caller may not see it.
    """
    return _visible(tx, user_id)


def create_user(tx: Transaction, new: NewUser) -> User:
    """A new user.

    Raises:
        Forbidden: the caller is no operator.
        Conflict: the email address is taken, whatever its case.
    """
    tx.principal.require_operator("create users")
    user = User(
        id=uuid7(tx.now),
        name=new.name,
        email=new.email,
        role=new.role,
        limits=new.limits,
        created_at=tx.now,
        updated_at=tx.now,
    )
    users.add_user(tx.session, user)
    trail.note_about(tx, "make_user", user.id, user.id)
    return user


def change_user(tx: Transaction, user_id: UUID, changes: UserChanges) -> User:
    """A user with ``changes`` made to it.

    Raises:
        NotFound: there is none, or the caller may not see it.
        Forbidden: a member wants to change its role, limits or email address, or to disable itself.
        Conflict: the email address is taken, or an operator wants to disable itself.
    """
    if tx.principal.is_operator and changes.keys() & {"role", "disabled"}:
        _require_still_operator(tx, user_id)
    user = _visible(tx, user_id, lock="change")
    if changes.get("role", user.role) != user.role:
        tx.principal.require_operator("change roles")
    if changes.get("limits", user.limits) != user.limits:
        tx.principal.require_operator("change limits")
    if changes.get("email", user.email) != user.email:  # a member who tries addresses would learn who else is here
        tx.principal.require_operator("change email addresses")
    acts = _acts(user, changes)
    act = acts[0] if acts else None
    if act in ("disable_user", "enable_user"):
        _require_right_to_disable(tx, user_id)
    columns: dict[str, Any] = {name: value for name, value in changes.items() if name != "disabled"}
    if act == "disable_user":
        columns["disabled_at"] = tx.now
    elif act == "enable_user":
        columns["disabled_at"] = None
    users.change_user(tx.session, user, {**columns, "updated_at": tx.now} if changes else {})
    for act in acts:
        trail.note_about(tx, act, user_id, user_id)
    return user


def _acts(user: User, changes: UserChanges) -> list[Act]:
    """What the trail calls these changes: whether the user may act, then its role, else that something was changed."""
    is_disabled = user.disabled_at is not None
    acts: list[Act] = []
    if changes.get("disabled", is_disabled) != is_disabled:
        acts.append("enable_user" if is_disabled else "disable_user")
    if changes.get("role", user.role) != user.role:
        acts.append("role")
    return acts or (["change_user"] if changes else [])


def disable_user(tx: Transaction, user_id: UUID) -> None:
    """Let nobody act as a user any more. Doing it again changes nothing.

    Raises:
        NotFound, Forbidden, Conflict: see `change_user`.
    """
    if _visible(tx, user_id).disabled_at is None:
        change_user(tx, user_id, {"disabled": True})


def _require_right_to_disable(tx: Transaction, user_id: UUID) -> None:
    tx.principal.require_operator("disable and enable users")
    if user_id == tx.principal.user_id:
        raise Conflict("Nobody disables themselves: ask another operator.")
    if user_id == DEMO_USER_ID and tx.settings.identity == "demo":
        raise Conflict("Everybody is the demo operator here, without being asked.")


def _require_still_operator(tx: Transaction, user_id: UUID) -> None:
    """Refuse an operator whom another one is disabling or demoting at this moment, so that two can't do it to each other.

    Both rows are locked in one order, before anything is decided.
    """
    known = users.lock_known_users(tx.session, [tx.principal.user_id, user_id]).get(tx.principal.user_id)
    if known is None:
        return
    if known.is_disabled:
        raise AccountDisabled(user_id=known.user_id)
    if known.role != "operator":
        raise Forbidden("The caller is no operator any more.")


def usage_of(tx: Transaction, user_id: UUID) -> UsageNow:
    """How many files and bytes a user has.

    Raises:
        NotFound: there is none, or the caller may not see it. TooBroad: counting takes too long.
    """
    with within(tx.session, tx.settings.query_seconds):
        return read_usage(tx.session, Owner(_visible(tx, user_id).id))


def delete_user(tx: Transaction, user_id: UUID) -> None:
    """Delete a user who has nothing any more. What it has deleted belongs to nobody then, and says nothing of it.

    Raises:
        NotFound: there is none, or the caller may not see it.
        Forbidden: the caller is no operator.
        Conflict: it is the caller itself, or it still owns something; the message says what.
    """
    deletable_user(tx, user_id)
    owner = Owner(user_id)
    tombstones = handing_over.files_of(tx.session, owner, None, _TOMBSTONES_AT_ONCE, deleted=True)
    handing_over.free_tombstones(tx.session, owner, tombstones)
    remove_user(tx, owner, with_sessions=False)


def deletable_user(tx: Transaction, user_id: UUID) -> None:
    """Refuse to delete a user whom the caller may not delete. Nobody changes the user until the transaction ends.

    Raises:
        NotFound, Forbidden, Conflict: see `delete_user`.
    """
    _visible(tx, user_id)
    tx.principal.require_operator("delete users")
    if user_id == tx.principal.user_id:
        raise Conflict("Nobody deletes themselves: ask another operator.")
    _require_still_operator(tx, user_id)
    _visible(tx, user_id, lock="delete")


def remove_user(tx: Transaction, owner: Owner, with_sessions: bool) -> None:
    """Delete a user's row and, ``with_sessions``, its sessions, if it has no files any more.

    Whoever signs in with its identity later is refused, until an operator lets it in: see `barred_identities`.

    Raises:
        Conflict: it still has some, or jobs that have not ended: what those have begun would never be taken back. The message
            says how many.
    """
    if open_jobs := jobs.count_open_jobs(tx.session, owner.user_id):
        raise Conflict(f"The user still has {open_jobs} jobs that have not ended.")
    left = handing_over.count_left(tx.session, owner, _COUNTED)
    if left.files or left.trash or left.tombstones or (left.sessions and not with_sessions):
        raise Conflict(
            f"The user still has {left.files} files, {left.trash} in the trash, {left.tombstones} deleted ones and "
            f"{left.sessions} sessions. Say files=erase or files=hand-over to delete it with them."
        )
    handing_over.delete_sessions(tx.session, owner)
    identities.bar_identities(tx.session, owner.user_id, tx.now)
    users.delete_user(tx.session, owner.user_id)
    trail.note_about(tx, "delete_user", owner.user_id, owner.user_id)


def _visible(tx: Transaction, user_id: UUID, lock: users.Lock | None = None) -> User:
    user = users.find_user(tx.session, tx.scope, user_id, lock=lock)
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    return user
