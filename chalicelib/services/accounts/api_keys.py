"""API keys: what a user's machines call with. Each may do as much as the user lets it, and never more than what made it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chalicelib.catalog.roles import KEY_SCOPES, KeyScope
from chalicelib.db import api_keys
from chalicelib.db.models import ApiKey
from chalicelib.db.pages import Page
from chalicelib.db.sessions import has_session
from chalicelib.errors import FieldProblem, Forbidden, InvalidInput, NotFound, Unauthenticated, Unprocessable
from chalicelib.ids import uuid7
from chalicelib.services.accounts.key_checking import hash_of, new_secret, written
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.accounts.trail import note_about
from chalicelib.services.context import Transaction

MAX_KEYS = 100
# Ended keys are listed, too. Who makes and revokes keys all day must not fill the table.
_KEPT_ENDED = 900
_LONGEST = timedelta(days=3_653)


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key to make. ``prefix`` or ``session_id`` confine it to a part of what its owner has.

    Without ``expires_at`` it doesn't expire.
    """

    name: str
    scopes: frozenset[KeyScope]
    prefix: str | None = None
    session_id: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MadeApiKey:
    """A new key, and the text that callers send, which is shown this once: only a hash is kept."""

    row: ApiKey
    secret: str


def create_key(tx: Transaction, new: NewApiKey) -> MadeApiKey:
    """A new key of the caller.

    The owner's row is locked first. So of two that are made at once, only one is the hundredth, and a key that is being revoked
    leaves none behind that it has just made.

    Raises:
        InvalidInput: the fields don't go together, or the caller has too many keys.
        Unprocessable: the caller has no such session.
        Forbidden: the caller's own key may do less. Unauthenticated: it was revoked at this moment.
    """
    _check(new, tx.now)
    _check_not_stronger(tx.principal, new)
    api_keys.lock_owner(tx.session, tx.principal.user_id)
    made_by = _own_key(tx)
    if new.session_id is not None and not has_session(tx.session, tx.principal.itself, new.session_id):
        raise Unprocessable(f"The caller has no session {new.session_id}.")
    if api_keys.count_working(tx.session, tx.principal.itself, tx.now) >= MAX_KEYS:
        raise InvalidInput(f"Nobody has more than {MAX_KEYS} API keys that work: revoke one that is not used any more.")
    api_keys.forget_ended(tx.session, tx.principal.itself, _KEPT_ENDED, tx.now)
    secret = new_secret()
    key = ApiKey(
        id=uuid7(tx.now),
        owner_id=tx.principal.user_id,
        name=new.name,
        scopes=[scope for scope in KEY_SCOPES if scope in new.scopes],
        prefix=new.prefix,
        session_id=new.session_id,
        secret_hash=hash_of(secret),
        made_by=made_by,
        expires_at=new.expires_at,
        created_at=tx.now,
    )
    api_keys.add_key(tx.session, key)
    note_about(tx, "make_key", key.id)
    return MadeApiKey(key, written(key.id, secret))


def list_keys(tx: Transaction, limit: int, cursor: str | None) -> Page:
    """A page of the caller's keys, or for an operator of everyone's, including ended ones, in the order of their creation.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    return api_keys.list_keys(tx.session, tx.scope, limit, cursor)


def get_key(tx: Transaction, key_id: UUID) -> ApiKey:
    """One key.

    Raises:
        NotFound: there is none for this caller.
    """
    key = api_keys.find_key(tx.session, tx.scope, key_id)
    if key is None:
        raise NotFound(f"There is no API key {key_id}.")
    return key


def revoke_key(tx: Transaction, key_id: UUID) -> None:
    """End a key, and the keys that were made with it. Doing it again changes nothing. Jobs that it has begun go on.

    Raises:
        NotFound: there is none for this caller.
    """
    key = get_key(tx, key_id)
    api_keys.lock_owner(tx.session, key.owner_id)
    api_keys.revoke_key(tx.session, key.id, tx.now)
    note_about(tx, "revoke_key", key.id, key.owner_id)


def _check(new: NewApiKey, now: datetime) -> None:
    problems = []
    if new.prefix is not None and new.session_id is not None:
        problems.append(FieldProblem("body", "session_id", "A key is for a prefix or for a session, not for both."))
    if "admin" in new.scopes and (new.prefix is not None or new.session_id is not None):
        problems.append(FieldProblem("body", "scopes", "A key for a prefix or a session can't be for `admin`."))
    if new.expires_at is not None and not now < new.expires_at <= now + _LONGEST:
        problems.append(FieldProblem("body", "expires_at", "Must be in the future, and at most ten years away."))
    if problems:
        raise InvalidInput(f"Wrong: {', '.join(f'body {problem.field}' for problem in problems)}.", tuple(problems))


def _check_not_stronger(principal: Principal, new: NewApiKey) -> None:
    """Check that a key which makes a key may do all that the new one may."""
    own = principal.key
    if own is None:
        return
    if not new.scopes <= own.scopes:
        raise Forbidden("An API key makes no key with scopes that it lacks itself.")
    if own.expires_at is not None and (new.expires_at is None or new.expires_at > own.expires_at):
        raise Forbidden(f"An API key makes no key that outlives it: {own.expires_at.isoformat()}.")
    # Only keys for `admin` make keys, and those are for everything. Should that change, this must still hold.
    if principal.prefix is not None and not (new.prefix or "").startswith(principal.prefix):
        raise Forbidden("An API key makes no key for files that it doesn't see itself.")
    if principal.session_id not in (None, new.session_id):
        raise Forbidden("An API key makes no key for files that it doesn't see itself.")


def _own_key(tx: Transaction) -> UUID | None:
    """The key that the caller has sent, if it still works."""
    if tx.principal.key is None:
        return None
    key_id = tx.principal.key.key_id
    known = api_keys.find_known(tx.session, key_id)
    if known is None or known.revoked_at is not None:
        raise Unauthenticated("The API key was revoked.", "revoked API key", key_id)
    return key_id
