"""The shares table: links for people without an account."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from chalicelib.db.models import File, Share, User
from chalicelib.db.pages import Order, Page, in_utc, list_by_id
from chalicelib.db.scope import FILE_IN_SCOPE, Owner, Scope, bound_scope

# As `chalicelib.api.schemas.shares.ShareOut` has it.
_ITEM = f"""id, file_id, max_uses, uses, {in_utc("expires_at")} AS expires_at, {in_utc("revoked_at")} AS revoked_at,
    {in_utc("created_at")} AS created_at"""

_OF_FILE = f"file_id IN (SELECT id FROM files WHERE id = CAST(:file_id AS uuid) AND {FILE_IN_SCOPE})"  # noqa: S608 - no values


@dataclass(frozen=True, slots=True)
class OpenShare:
    """A share that leads to a file at this moment."""

    id: UUID
    file_id: UUID
    expires_at: datetime


def add_share(session: Session, share: Share) -> None:
    """Add a share."""
    session.add(share)
    session.flush()


def list_shares(session: Session, scope: Scope, file_id: UUID, limit: int, cursor: str | None) -> Page:
    """A page of a file's shares, including ended ones, in the order of their creation.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    order, bound = Order(f"shares {file_id}"), {"file_id": file_id} | bound_scope(scope)
    return list_by_id(session, order, _ITEM, f"shares WHERE {_OF_FILE}", bound, limit, cursor)


def revoke_share(session: Session, scope: Scope, share_id: UUID, now: datetime) -> UUID | None:
    """End a share of a file in this scope, if it has not ended already; returns its file, None if there is no such share."""
    # A value, and no IN: a join with the owner's files may read all of them.
    file = select(File.id).where(File.id == Share.file_id)
    if isinstance(scope, Owner):
        file = file.where(File.owner_id == scope.user_id)
        if scope.session_id is not None:
            file = file.where(File.session_id == scope.session_id)
    is_about_it = file.correlate(Share).scalar_subquery().is_not(None)
    revoked = update(Share).where(Share.id == share_id, is_about_it)
    ended = revoked.values(revoked_at=func.coalesce(Share.revoked_at, now)).returning(Share.file_id)
    return session.scalar(ended.execution_options(synchronize_session=False))


def use_share(session: Session, token_hash: str, now: datetime, *, counts: bool) -> OpenShare | None:
    """The share of a token, unless it is expired, used up or revoked. ``counts`` says whether this is a use.

    A link of somebody who is disabled leads nowhere meanwhile, whether that is the file's owner or who made the link.

    One statement both checks and counts, so that only one of two visitors at the same time gets the last use.
    """
    owner = select(File.owner_id).where(File.id == Share.file_id).correlate(Share).scalar_subquery()
    whose = or_(User.id == Share.created_by, User.id == owner)
    valid = (
        ~select(User.id).where(whose, User.disabled_at.is_not(None)).correlate(Share).exists(),
        Share.token_hash == token_hash,
        Share.expires_at > now,
        Share.revoked_at.is_(None),
        or_(Share.max_uses.is_(None), Share.uses < Share.max_uses),
    )
    columns = Share.id, Share.file_id, Share.expires_at
    if counts:
        row = session.execute(update(Share).where(*valid).values(uses=Share.uses + 1).returning(*columns)).one_or_none()
    else:
        row = session.execute(select(*columns).where(*valid)).one_or_none()
    return OpenShare(*row) if row else None
