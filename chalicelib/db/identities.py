"""Users by the names that identity providers have for them."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from sqlalchemy import delete, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from chalicelib.db.engine import prepared_read, savepoint
from chalicelib.db.models import BarredIdentity, UserIdentity
from chalicelib.db.pages import Order, Page, in_utc, list_by_id
from chalicelib.db.rows import read_row
from chalicelib.db.session_members import claim_memberships
from chalicelib.db.users import KnownUser
from chalicelib.errors import AccountDisabled
from chalicelib.ids import uuid7

# Every request with a token asks this.
_FIND = prepared_read(
    text("""
SELECT u.id, u.role, u.disabled_at IS NOT NULL AS is_disabled,
    CASE WHEN u.email IS NULL AND CAST(:email AS text) IS NOT NULL
        THEN NOT EXISTS (SELECT FROM users AS o WHERE lower(o.email) = lower(CAST(:email AS text))) ELSE false END AS lacks_email
FROM identities AS i JOIN users AS u ON u.id = i.user_id
WHERE i.issuer = CAST(:issuer AS text) AND i.subject = CAST(:subject AS text)
""")
)
# Two first requests of one person may come at once.
_LOCK = text(
    "SELECT pg_advisory_xact_lock(hashtextextended(CAST(:issuer AS text) || ' ' || CAST(:subject AS text), 0))"
)
# An address that another user has is not a reason to refuse somebody, nor a proof of being that user.
_TAKE_EMAIL = text(
    "UPDATE users SET email = :email, updated_at = :now WHERE id = :user_id AND email IS NULL RETURNING id"
)
_ADD_USER = text("""
INSERT INTO users (id, name, email, role, created_at, updated_at)
SELECT :id, :name, CASE WHEN NOT EXISTS (SELECT FROM users AS u WHERE lower(u.email) = lower(CAST(:email AS text)))
    THEN CAST(:email AS text) END, 'member', :now, :now
""")


# As `chalicelib.api.schemas.barred_identities.BarredIdentityOut` has it.
_BARRED_ITEM = f"id, user_id, {in_utc('created_at')} AS created_at"


@dataclass(frozen=True, slots=True)
class NewKnownUser:
    """Somebody who comes for the first time."""

    user_id: UUID
    name: str
    email: str | None
    now: datetime


def find_known(session: Session, issuer: str, subject: str, email: str | None) -> KnownUser | None:
    """Whom an identity provider calls by this name; None if nobody came with it before. ``email``: what it comes with."""
    row = read_row(session, _FIND, {"issuer": issuer, "subject": subject, "email": email})
    return None if row is None else KnownUser(*row)


def add_known(session: Session, issuer: str, subject: str, user: NewKnownUser) -> KnownUser:
    """Add a member for somebody who comes for the first time, unless another request has just done it.

    Raises:
        AccountDisabled: it isn't the first time: the user was deleted.
    """
    session.execute(_LOCK, {"issuer": issuer, "subject": subject})
    if known := find_known(session, issuer, subject, user.email):
        return known
    # Asked after the user: whoever deletes one bars its identities in the same transaction.
    was = select(BarredIdentity.user_id).where(BarredIdentity.identity_hash == _hash(issuer, subject))
    if (deleted := session.scalar(was)) is not None:
        raise AccountDisabled("This account was deleted. An operator can let you in again, as a new user.", deleted)
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


def take_email(session: Session, user_id: UUID, email: str, now: datetime) -> bool:
    """Give a user without an address this one, and let it into what was shared with that; returns whether it has it now.

    Another request, or another user, may have been faster.
    """
    try:
        with savepoint(session):
            taken = session.scalar(_TAKE_EMAIL, {"user_id": user_id, "email": email, "now": now})
    except IntegrityError:
        return False
    if taken is not None:
        claim_memberships(session, user_id)
    return taken is not None


# It may be barred already: a release that doesn't look made a new user of it.
_BAR = text("""
INSERT INTO barred_identities (id, identity_hash, user_id, created_at) VALUES (:id, :identity_hash, :user_id, :now)
ON CONFLICT (identity_hash) DO UPDATE SET user_id = excluded.user_id, created_at = excluded.created_at
""")


def bar_identities(session: Session, user_id: UUID, now: datetime) -> None:
    """See to it that whoever signs in as this user doesn't become a new one once the user is deleted."""
    found = session.scalars(select(UserIdentity).where(UserIdentity.user_id == user_id)).all()
    for one in found:
        row = {"id": uuid7(now), "identity_hash": _hash(one.issuer, one.subject), "user_id": user_id, "now": now}
        session.execute(_BAR, row)


def list_barred(session: Session, limit: int, cursor: str | None) -> Page:
    """A page of the identities of deleted users, in the order of their deletion.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    return list_by_id(
        session, Order("barred identities"), _BARRED_ITEM, "barred_identities WHERE true", {}, limit, cursor
    )


def admit_barred(session: Session, barred_id: UUID) -> UUID | None:
    """Let an identity sign in again, as a new user; returns the deleted user, None if there is no such identity."""
    gone = delete(BarredIdentity).where(BarredIdentity.id == barred_id).returning(BarredIdentity.user_id)
    return session.scalar(gone)


def _hash(issuer: str, subject: str) -> str:
    return sha256(f"{issuer}\n{subject}".encode()).hexdigest()
