"""Users by the names that identity providers have for them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from chalicelib.catalog.roles import Role
from chalicelib.db.engine import prepared_read, savepoint
from chalicelib.db.models import UserIdentity
from chalicelib.db.session_members import claim_memberships

# Every request with a token asks this.
_FIND = prepared_read(
    text("""
SELECT u.id, u.role FROM identities AS i JOIN users AS u ON u.id = i.user_id
WHERE i.issuer = CAST(:issuer AS text) AND i.subject = CAST(:subject AS text)
""")
)
# Two first requests of one person may come at once.
_LOCK = text(
    "SELECT pg_advisory_xact_lock(hashtextextended(CAST(:issuer AS text) || ' ' || CAST(:subject AS text), 0))"
)
# An address that another user has is not a reason to refuse somebody, nor a proof of being that user.
_ADD_USER = text("""
INSERT INTO users (id, name, email, role, created_at, updated_at)
SELECT :id, :name, CASE WHEN NOT EXISTS (SELECT FROM users AS u WHERE lower(u.email) = lower(CAST(:email AS text)))
    THEN CAST(:email AS text) END, 'member', :now, :now
""")


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A user and what it may do, which the user's row says, and never a token."""

    user_id: UUID
    role: Role


@dataclass(frozen=True, slots=True)
class NewKnownUser:
    """Somebody who comes for the first time."""

    user_id: UUID
    name: str
    email: str | None
    now: datetime


def find_known(session: Session, issuer: str, subject: str) -> KnownUser | None:
    """Whom an identity provider calls by this name; None if nobody came with it before."""
    row = session.execute(_FIND, {"issuer": issuer, "subject": subject}).one_or_none()
    return None if row is None else KnownUser(row.id, row.role)


def add_known(session: Session, issuer: str, subject: str, user: NewKnownUser) -> KnownUser:
    """Add a member for somebody who comes for the first time, unless another request has just done it."""
    session.execute(_LOCK, {"issuer": issuer, "subject": subject})
    if known := find_known(session, issuer, subject):
        return known
    values = {"id": user.user_id, "name": user.name, "now": user.now}
    try:
        with savepoint(session):
            session.execute(_ADD_USER, values | {"email": user.email})
    except IntegrityError:  # somebody has taken the address since the statement began
        session.execute(_ADD_USER, values | {"email": None})
    session.add(UserIdentity(issuer=issuer, subject=subject, user_id=user.user_id, created_at=user.now))
    session.flush()
    claim_memberships(session, user.user_id)
    return KnownUser(user.user_id, "member")
