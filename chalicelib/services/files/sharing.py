"""Share links: anybody who has one may download the file, until the link expires, is used up, or is revoked."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from chalicelib.db import files, shares
from chalicelib.db.models import Share
from chalicelib.db.pages import Page
from chalicelib.db.scope import EVERYONE
from chalicelib.errors import NotFound
from chalicelib.ids import uuid7
from chalicelib.services.accounts.trail import note
from chalicelib.services.context import Transaction
from chalicelib.services.files.downloads import DownloadLink
from chalicelib.services.files.reading import get_stored_file, visible_file

_TOKEN_BYTES = 24
# A share may be used for the last time shortly before it ends; the link that it leads to shouldn't outlive it by much.
_LINK_SECONDS = 300


@dataclass(frozen=True, slots=True)
class NewShare:
    """A share with its token, which is shown this once: only its hash is kept."""

    share: Share
    token: str


def create_share(tx: Transaction, file_id: UUID, seconds: int, max_uses: int | None) -> NewShare:
    """A new link to one of the caller's files.

    Raises:
        NotFound: there is no such file for this caller. Conflict: its bytes haven't arrived yet.
    """
    file = get_stored_file(tx, file_id)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    share = Share(
        id=uuid7(tx.now),
        file_id=file.id,
        created_by=tx.principal.user_id,
        token_hash=_hash(token),
        max_uses=max_uses,
        uses=0,
        expires_at=tx.now + timedelta(seconds=seconds),
        created_at=tx.now,
    )
    shares.add_share(tx.session, share)
    note(tx, "share", [file.id], share.id)
    return NewShare(share, token)


def list_shares(tx: Transaction, file_id: UUID, limit: int, cursor: str | None) -> Page:
    """A page of a file's links, including ended ones, in the order of their creation.

    Raises:
        NotFound: there is no such file for this caller. InvalidCursor: the cursor is not one of this list.
    """
    return shares.list_shares(tx.session, tx.scope, visible_file(tx, file_id).id, limit, cursor)


def revoke_share(tx: Transaction, share_id: UUID) -> None:
    """End a link. Links to S3 that it led to a moment ago end within minutes by themselves.

    Raises:
        NotFound: there is none for this caller.
    """
    file_id = shares.revoke_share(tx.session, tx.scope, share_id, tx.now)
    if file_id is None:
        raise NotFound(f"There is no share {share_id}.")
    note(tx, "revoke_share", [file_id], share_id)


def open_share(tx: Transaction, token: str, counts: bool) -> DownloadLink:
    """A link to the bytes, for anybody who has the token. ``counts`` says whether this is a use.

    Raises:
        NotFound: the token was never given out, or is expired, used up or revoked, or the file is deleted. The message
            is the same in all cases.
    """
    with tx.as_landfall():  # the token says what its bearer may see
        share = shares.use_share(tx.session, _hash(token), tx.now, counts=counts)
        file = files.find_file(tx.session, EVERYONE, share.file_id) if share else None
    if share is None or file is None or file.state != "stored":
        raise NotFound("This link leads nowhere, or not any more.")
    if counts:
        note(tx, "use_share", [file.id], share.id)
    seconds = max(1, min(_LINK_SECONDS, int((share.expires_at - tx.now).total_seconds())))
    url = tx.links.download(*file.location, file.version_id or None, file.name, file.media_type, seconds)
    return DownloadLink(url, tx.now + timedelta(seconds=seconds))


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
