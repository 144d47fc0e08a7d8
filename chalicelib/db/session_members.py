"""Members of sessions: with whom an owner shares one, by user id or by e-mail address.

A row that was made for an address keeps it, whether or not a user has it, so that neither the answer nor the list tells.

Somebody may be named twice, by id and by address. These are one membership, and the last word on either holds: it ends the other
row. That one stays in the list as it was, since to vanish from there would tell whose the address is. Named again, it counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, text, update
from sqlalchemy.orm import Session

from chalicelib.catalog.roles import Membership, SessionRole
from chalicelib.db.engine import prepared_read
from chalicelib.db.models import SessionMember
from chalicelib.db.pages import Order, Page, in_utc, list_by_id
from chalicelib.ids import uuid7

_MOMENTS = f"{in_utc('created_at')} AS created_at, {in_utc('updated_at')} AS updated_at"
# As `chalicelib.api.schemas.members.MemberOut` has it. Who has an address is nobody's business.
_ITEM = f"""id, CASE WHEN email IS NULL OR user_id = CAST(:caller AS uuid) THEN user_id END AS user_id,
    CASE WHEN CAST(:shows_emails AS boolean) OR user_id = CAST(:caller AS uuid) THEN email END AS email, role, {_MOMENTS}"""

# What a disabled user shares isn't shared meanwhile.
# Of an address that was claimed later and an id, the greater right counts: 'editor' sorts before 'viewer'.
_MEMBERSHIP = """
SELECT s.owner_id, s.session_id, m.role {more}
FROM session_members AS m JOIN sessions AS s ON s.id = m.session_row_id
JOIN users AS o ON o.id = s.owner_id AND o.disabled_at IS NULL {join}
WHERE m.user_id = CAST(:user_id AS uuid) AND m.ended_at IS NULL AND s.owner_id <> m.user_id AND {which}
ORDER BY m.role {limit}
"""
_OF_SESSION = prepared_read(
    text(
        _MEMBERSHIP.format(
            more="",
            join="",
            which="s.owner_id = CAST(:owner_id AS uuid) AND s.session_id = CAST(:session_id AS text)",
            limit="LIMIT 1",
        )
    )
)
_FILE = "JOIN files AS f ON f.owner_id = s.owner_id AND f.session_id = s.session_id"
_OF_FILES = text(_MEMBERSHIP.format(more=", f.id", join=_FILE, which="f.id = ANY(CAST(:file_ids AS uuid[]))", limit=""))
_AT = text(_MEMBERSHIP.format(more="", join=_FILE, which="f.key = :key AND f.bucket = :bucket", limit="LIMIT 1"))

# A user with this address may be made at the same moment: one of the two sees the other.
_LOCK_ADDRESS = text("SELECT pg_advisory_xact_lock(hashtextextended('member ' || lower(CAST(:email AS text)), 0))")
_ADD_BY_EMAIL = text("""
INSERT INTO session_members AS m (id, session_row_id, user_id, email, role, created_at, updated_at)
VALUES (:id, :session_row_id, (SELECT id FROM users WHERE lower(email) = lower(CAST(:email AS text))),
    lower(CAST(:email AS text)), :role, :now, :now)
ON CONFLICT (session_row_id, email) WHERE email IS NOT NULL
    DO UPDATE SET user_id = excluded.user_id, role = excluded.role, updated_at = excluded.updated_at, ended_at = NULL
RETURNING m.id, old.id IS NULL AS is_new
""")
_ADD_BY_ID = text("""
INSERT INTO session_members AS m (id, session_row_id, user_id, role, created_at, updated_at)
VALUES (:id, :session_row_id, :user_id, :role, :now, :now)
ON CONFLICT (session_row_id, user_id) WHERE email IS NULL
    DO UPDATE SET role = excluded.role, updated_at = excluded.updated_at, ended_at = NULL
RETURNING m.id, old.id IS NULL AS is_new
""")
_END_OTHERS = text("""
UPDATE session_members SET ended_at = :now
WHERE session_row_id = :session_row_id AND user_id = :user_id AND id <> :id AND ended_at IS NULL
""")
_LOCK_ADDRESS_OF = text("""
SELECT pg_advisory_xact_lock(hashtextextended('member ' || lower(email), 0)) FROM users WHERE id = :user_id AND email IS NOT NULL
""")
# One user at most has an address, so whoever has it now is meant, and nobody who had it before.
_CLAIM = text("""
UPDATE session_members AS m SET user_id = u.id FROM users AS u
WHERE u.id = :user_id AND m.email = lower(u.email) AND m.user_id IS DISTINCT FROM u.id
""")
# What has ended stays so: whoever gets the address next was not meant by it either.
_LEAVE = text("""
UPDATE session_members AS m SET user_id = NULL FROM users AS u
WHERE u.id = :user_id AND m.user_id = u.id AND m.email IS DISTINCT FROM lower(u.email) AND m.email IS NOT NULL
""")
_LEAVE_ALL = text("UPDATE session_members SET user_id = NULL WHERE user_id = :user_id AND email IS NOT NULL")


@dataclass(frozen=True, slots=True)
class NewMember:
    """Whom to share a session with: a user by id, or whoever has or gets an e-mail address. One of the two is None."""

    user_id: UUID | None
    email: str | None
    role: SessionRole


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks for members. ``shows_emails``: whether addresses of others are shown."""

    user_id: UUID
    shows_emails: bool


def find_membership(session: Session, user_id: UUID, owner_id: UUID, session_id: str) -> Membership | None:
    """A user's right in a session of another one; None if it has none."""
    bound = {"user_id": user_id, "owner_id": owner_id, "session_id": session_id}
    return _membership(session.execute(_OF_SESSION, bound).one_or_none())


def find_memberships_of(session: Session, user_id: UUID, file_ids: Sequence[UUID]) -> dict[UUID, Membership]:
    """A user's rights in the sessions of others' files, by the files' ids. Files that aren't shared with it are left out."""
    found: dict[UUID, Membership] = {}
    for row in session.execute(_OF_FILES, {"user_id": user_id, "file_ids": list(file_ids)}):
        found.setdefault(row.id, Membership(row.owner_id, row.session_id, row.role))
    return found


def find_membership_at(session: Session, user_id: UUID, bucket: str, key: str) -> Membership | None:
    """A user's right in the session of another one's file at a location; None if it has none."""
    return _membership(session.execute(_AT, {"user_id": user_id, "bucket": bucket, "key": key}).one_or_none())


def list_members(session: Session, session_row_id: UUID, viewer: Viewer, limit: int, cursor: str | None) -> Page:
    """A page of a session's members, in the order in which they were added.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    bound = {"session_row_id": session_row_id, "caller": viewer.user_id, "shows_emails": viewer.shows_emails}
    matching = "session_members WHERE session_row_id = CAST(:session_row_id AS uuid)"
    return list_by_id(session, Order(f"members {session_row_id}"), _ITEM, matching, bound, limit, cursor)


def put_member(session: Session, session_row_id: UUID, new: NewMember, now: datetime) -> tuple[SessionMember, bool]:
    """Add a member, or change the role of one that is there; returns it, and whether it is new.

    Raises:
        DBAPIError: there is no user of this id.
    """
    bound: Mapping[str, Any] = {"id": uuid7(now), "session_row_id": session_row_id, "role": new.role, "now": now}
    if new.email is not None:
        session.execute(_LOCK_ADDRESS, {"email": new.email})
        row = session.execute(_ADD_BY_EMAIL, {**bound, "email": new.email}).one()
    else:
        row = session.execute(_ADD_BY_ID, {**bound, "user_id": new.user_id}).one()
    member = session.get_one(SessionMember, row.id, populate_existing=True)
    _end_others(session, member, now)
    return member, row.is_new


def change_role(
    session: Session, session_row_id: UUID, member_id: UUID, role: SessionRole, now: datetime
) -> SessionMember | None:
    """Change a member's role; returns the member, or None if there is none."""
    which = SessionMember.id == member_id, SessionMember.session_row_id == session_row_id
    values = {"role": role, "updated_at": now, "ended_at": None}
    changed = update(SessionMember).where(*which).values(**values).returning(SessionMember)
    member = session.scalar(changed.execution_options(populate_existing=True))
    if member is not None:
        _end_others(session, member, now)
    return member


def remove_member(session: Session, session_row_id: UUID, member_id: UUID, now: datetime) -> bool:
    """Remove a member, under whatever other name it has been added, too; returns whether there was one."""
    which = SessionMember.id == member_id, SessionMember.session_row_id == session_row_id
    member = session.scalar(delete(SessionMember).where(*which).returning(SessionMember))
    if member is not None:
        _end_others(session, member, now)
    return member is not None


def remove_user(session: Session, session_row_id: UUID, user_id: UUID) -> bool:
    """Remove a user from a session, however it was added; returns whether it was a member."""
    which = SessionMember.user_id == user_id, SessionMember.session_row_id == session_row_id
    return bool(session.scalars(delete(SessionMember).where(*which).returning(SessionMember.id)).all())


def claim_memberships(session: Session, user_id: UUID) -> None:
    """Let a user who has just got an address into the sessions that were shared with that address before."""
    session.execute(_LOCK_ADDRESS_OF, {"user_id": user_id})
    session.execute(_CLAIM, {"user_id": user_id})


def move_memberships(session: Session, user_id: UUID, email_before: str | None) -> None:
    """Let a user whose address has just changed out of what was shared with the former one, and into what was with the new one.

    Whoever gets the former address next is let in there. A session that is shared with the user by its id stays so.
    """
    if email_before is not None:
        session.execute(_LOCK_ADDRESS, {"email": email_before})
        session.execute(_LEAVE, {"user_id": user_id})
    claim_memberships(session, user_id)


def leave_address(session: Session, user_id: UUID) -> None:
    """Let a user who is about to be deleted out of what was shared with its address: whoever has it next is meant.

    The user is locked, and no address: whoever names it holds that, and waits for the user.
    """
    session.execute(_LEAVE_ALL, {"user_id": user_id})


def _end_others(session: Session, member: SessionMember, now: datetime) -> None:
    """End what the same user has in the same session under another name."""
    bound = {"session_row_id": member.session_row_id, "user_id": member.user_id, "id": member.id, "now": now}
    session.execute(_END_OTHERS, bound)


def _membership(row: Row[Any] | None) -> Membership | None:
    return None if row is None else Membership(row.owner_id, row.session_id, row.role)
