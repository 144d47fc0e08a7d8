"""API keys as they come with a request: ``lf_<id>_<secret>``, the id in hexadecimal, the secret 32 random bytes in base64url."""

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from uuid import UUID

from chalicelib.catalog.roles import KeyScope, Role
from chalicelib.db import api_keys
from chalicelib.db.engine import Session
from chalicelib.errors import AccountDisabled, Unauthenticated

# No token of an identity provider begins so: it would be no JSON.
MARK = "lf_"
_FORM = re.compile(r"lf_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class KeyRights:
    """What a key allows: any of these scopes, until it expires; None: it doesn't."""

    key_id: UUID
    scopes: frozenset[KeyScope]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class CheckedKey:
    """A key that works, and whom it stands for: a user or, with ``prefix`` or ``session_id``, a part of what the user owns."""

    user_id: UUID
    role: Role
    prefix: str | None
    session_id: str | None
    rights: KeyRights


def check_key(session: Session, given: str, now: datetime) -> CheckedKey:
    """The key that somebody has sent. Its use is noted, once a day.

    Without the scope `admin` it stands for a member, whatever role its owner has.

    Raises:
        Unauthenticated: it isn't genuine, or has ended. The message says why, but repeats nothing of the key, and doesn't tell
            a wrong secret from a key that isn't there. AccountDisabled: nobody may act as its owner.
    """
    form = _FORM.fullmatch(given)
    if form is None:
        raise Unauthenticated("The API key is incomplete: it has the form lf_<id>_<secret>.", "malformed API key")
    key_id, known = UUID(form[1]), api_keys.find_known(session, UUID(form[1]))
    # Compared also if there is no key, so that the time doesn't tell.
    is_genuine = compare_digest(hash_of(form[2]), known.secret_hash if known else "0" * 64)
    if known is None or not is_genuine:
        raise Unauthenticated("There is no such API key.", "wrong secret" if known else "no such API key", key_id)
    if known.revoked_at is not None:
        raise Unauthenticated("The API key was revoked.", "revoked API key", key_id)
    if known.expires_at is not None and known.expires_at <= now:
        raise Unauthenticated("The API key has expired.", "expired API key", key_id)
    if known.is_disabled:
        raise AccountDisabled(user_id=known.owner_id, key_id=key_id)
    if known.last_used_on != now.date():
        api_keys.note_use(session, key_id, now.date())
    rights = KeyRights(key_id, frozenset(known.scopes), known.expires_at)
    return CheckedKey(known.owner_id, _role(known.role, known.scopes), known.prefix, known.session_id, rights)


def new_secret() -> str:
    """A secret that nobody guesses."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def hash_of(secret: str) -> str:
    """What is kept of a secret. It is random, so that a plain SHA-256 is enough: there are no likely ones to try."""
    return sha256(secret.encode()).hexdigest()


def written(key_id: UUID, secret: str) -> str:
    """A key as callers send it."""
    return f"{MARK}{key_id.hex}_{secret}"


def _role(of_owner: Role, scopes: Collection[KeyScope]) -> Role:
    return of_owner if "admin" in scopes else "member"
