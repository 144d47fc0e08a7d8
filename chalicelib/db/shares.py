"""The shares table: links for people without an account."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from chalicelib.db.models import Share
from chalicelib.db.pages import Order, Page, in_utc, list_by_id

# As `chalicelib.api.schemas.shares.ShareOut` has it.
_ITEM = f"""id, file_id, max_uses, uses, {in_utc("expires_at")} AS expires_at, {in_utc("revoked_at")} AS revoked_at,
    {in_utc("created_at")} AS created_at"""


@dataclass(frozen=True, slots=True)
class OpenShare:
    """A share that leads to a file at this moment."""

    file_id: UUID
    expires_at: datetime


def add_share(session: Session, **values: Any) -> Share:
    """A new share."""
    share = Share(uses=0, **values)
    session.add(share)
    session.flush()
    return share


def list_shares(session: Session, file_id: UUID, limit: int, cursor: str | None) -> Page:
    """A page of a file's shares, including ended ones, in the order of their creation.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    order, bound = Order(f"shares {file_id}"), {"file_id": file_id}
    return list_by_id(session, order, _ITEM, "shares WHERE file_id = CAST(:file_id AS uuid)", bound, limit, cursor)


def find_shared_file(session: Session, share_id: UUID) -> UUID | None:
    """The file that a share is of; None if there is no such share."""
    return session.scalar(select(Share.file_id).where(Share.id == share_id))


def revoke_share(session: Session, share_id: UUID, now: datetime) -> None:
    """End a share, unless it was ended already."""
    session.execute(update(Share).where(Share.id == share_id, Share.revoked_at.is_(None)).values(revoked_at=now))


def use_share(session: Session, token_hash: str, now: datetime, *, counts: bool) -> OpenShare | None:
    """The share of a token, unless it is expired, used up or revoked. ``counts`` says whether this is a use.

    One statement both checks and counts, so that only one of two visitors at the same time gets the last use.
    """
    valid = (
        Share.token_hash == token_hash,
        Share.expires_at > now,
        Share.revoked_at.is_(None),
        or_(Share.max_uses.is_(None), Share.uses < Share.max_uses),
    )
    columns = Share.file_id, Share.expires_at
    if counts:
        row = session.execute(update(Share).where(*valid).values(uses=Share.uses + 1).returning(*columns)).one_or_none()
    else:
        row = session.execute(select(*columns).where(*valid)).one_or_none()
    return OpenShare(*row) if row else None
