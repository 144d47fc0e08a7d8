"""Share links: whoever has one may download the file, until it expires, is used up, or is revoked."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from chalicelib.db.file_queries import find_file
from chalicelib.db.models import Share
from chalicelib.db.pages import Order, Slice, fetch_slice
from chalicelib.errors import Conflict, NotFound
from chalicelib.ids import uuid7
from chalicelib.services.files import DownloadLink, present_file, visible_file
from chalicelib.services.principals import Principal
from chalicelib.store.client import ObjectStore

_TOKEN_BYTES = 24
# A share may be used for the last time shortly before it ends; the link that it leads to shouldn't outlive it by much.
_LINK_SECONDS = 300


@dataclass(frozen=True, slots=True)
class NewShare:
    """A share with its token, which is shown this once: only its hash is kept."""

    share: Share
    token: str


def create_share(
    session: Session, principal: Principal, file_id: UUID, seconds: int, max_uses: int | None, now: datetime
) -> NewShare:
    """A new link to a file of the caller's.

    Raises:
        NotFound: there is no such file for this caller. Conflict: its bytes haven't arrived yet.
    """
    if present_file(visible_file(session, principal, file_id))["state"] == "pending":
        raise Conflict("The file's bytes have not arrived yet.")
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    share = Share(
        id=uuid7(now),
        file_id=file_id,
        created_by=principal.user_id,
        token_hash=_hash(token),
        max_uses=max_uses,
        uses=0,
        expires_at=now + timedelta(seconds=seconds),
        created_at=now,
    )
    session.add(share)
    session.flush()
    return NewShare(share, token)


def list_shares(session: Session, principal: Principal, file_id: UUID, limit: int, cursor: str | None) -> Slice[Share]:
    """A file's links, spent ones among them, in the order of their creation.

    Raises:
        NotFound: there is no such file for this caller. InvalidCursor: the cursor is not one of this list.
    """
    visible_file(session, principal, file_id)
    statement = select(Share).where(Share.file_id == file_id)
    return fetch_slice(session, statement, Order(f"shares {file_id}", Share.id, Share.id), limit, cursor)


def revoke_share(session: Session, principal: Principal, share_id: UUID, now: datetime) -> None:
    """End a link. Links to S3 that it led to a moment ago end within minutes by themselves.

    Raises:
        NotFound: there is none for this caller.
    """
    share = session.get(Share, share_id)
    owner_id = None if principal.is_operator else principal.user_id
    if share is None or find_file(session, share.file_id, owner_id) is None:
        raise NotFound(f"There is no share {share_id}.")
    session.execute(update(Share).where(Share.id == share_id, Share.revoked_at.is_(None)).values(revoked_at=now))


def open_share(session: Session, store: ObjectStore, token: str, counts: bool, now: datetime) -> DownloadLink:
    """A link to the bytes, for whoever has the token. ``counts``: it is a use.

    One statement looks and counts, so that of two visitors at the same time one gets the last use.

    Raises:
        NotFound: the token was never given out, or is expired, used up or revoked, or the file is deleted: all alike.
    """
    valid = (
        Share.token_hash == _hash(token),
        Share.expires_at > now,
        Share.revoked_at.is_(None),
        or_(Share.max_uses.is_(None), Share.uses < Share.max_uses),
    )
    if counts:
        used = update(Share).where(*valid).values(uses=Share.uses + 1).returning(Share.file_id, Share.expires_at)
        found = session.execute(used).one_or_none()
    else:
        found = session.execute(select(Share.file_id, Share.expires_at).where(*valid)).one_or_none()
    file = find_file(session, found.file_id, None) if found else None
    if found is None or file is None or file["state"] != "stored":
        raise NotFound("This link leads nowhere, or not any more.")
    seconds = max(1, min(_LINK_SECONDS, int((found.expires_at - now).total_seconds())))
    url = store.links.download(
        file["bucket"], file["key"], file["version_id"] or None, file["name"], file["media_type"], seconds
    )
    return DownloadLink(url, now + timedelta(seconds=seconds))


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
