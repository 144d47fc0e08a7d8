"""The table of API keys. Only hashes of their secrets are in it."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.catalog.roles import KeyScope, Role
from chalicelib.db.engine import prepared_read
from chalicelib.db.models import ApiKey
from chalicelib.db.pages import Order, Page, in_utc, list_by_id
from chalicelib.db.rows import read_row
from chalicelib.db.scope import IN_SCOPE, Owner, Scope, bound_owner

# As `chalicelib.api.schemas.api_keys.ApiKeyOut` has it.
_ITEM = f"""id, name, scopes, prefix, session_id, {in_utc("expires_at")} AS expires_at, {in_utc("revoked_at")} AS revoked_at,
    last_used_on, made_by, owner_id, {in_utc("created_at")} AS created_at"""
_WORKS = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)"

# Every request with a key asks this. The role is that of the owner's row at this moment.
_FIND = prepared_read(
    text("""
SELECT k.owner_id, u.role, k.secret_hash, k.scopes, k.prefix, k.session_id, k.expires_at, k.revoked_at, k.last_used_on,
    u.disabled_at IS NOT NULL AS is_disabled
FROM api_keys AS k JOIN users AS u ON u.id = k.owner_id
WHERE k.id = CAST(:id AS uuid)
""")
)
# The first requests of a day may come at once. One of them notes it, and nobody waits for its transaction.
_NOTE_USE = text("""
UPDATE api_keys SET last_used_on = :day WHERE id = (
    SELECT id FROM api_keys WHERE id = :id AND last_used_on IS DISTINCT FROM :day FOR NO KEY UPDATE SKIP LOCKED)
""")
# Rows of this user's may still be added to other tables meanwhile: their foreign keys ask for a weaker lock.
_LOCK_OWNER = text("SELECT id FROM users WHERE id = :owner_id FOR NO KEY UPDATE")
_COUNT = text(f"SELECT count(*) FROM api_keys WHERE owner_id = :owner_id AND {_WORKS}")  # noqa: S608 - no values
_FORGET_ENDED = text(f"""
DELETE FROM api_keys WHERE id IN (
    SELECT id FROM api_keys WHERE owner_id = :owner_id AND NOT ({_WORKS}) ORDER BY id DESC OFFSET :kept)
""")  # noqa: S608 - no values
# UNION, not UNION ALL, so that the recursion ends whatever the rows say.
_REVOKE = text("""
WITH RECURSIVE made AS (
    SELECT CAST(:id AS uuid) AS id
    UNION
    SELECT k.id FROM api_keys AS k JOIN made ON k.made_by = made.id)
UPDATE api_keys SET revoked_at = :now WHERE id IN (SELECT id FROM made) AND revoked_at IS NULL
""")


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key, its owner's role, and whether nobody may act as its owner."""

    owner_id: UUID
    role: Role
    secret_hash: str
    scopes: list[KeyScope]
    prefix: str | None
    session_id: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_on: date | None
    is_disabled: bool


def find_known(session: Session, key_id: UUID) -> KnownKey | None:
    """The key of this id, whoever asks; None if there is none."""
    row = read_row(session, _FIND, {"id": key_id})
    return None if row is None else KnownKey(*row)


def note_use(session: Session, key_id: UUID, day: date) -> None:
    """Note the day of a key's last use, unless another transaction is just doing so."""
    session.execute(_NOTE_USE, {"id": key_id, "day": day})


def lock_owner(session: Session, owner_id: UUID) -> None:
    """Let nobody else make or revoke keys of this owner until the transaction ends."""
    session.execute(_LOCK_OWNER, {"owner_id": owner_id})


def count_working(session: Session, owner: Owner, now: datetime) -> int:
    """How many keys of an owner are neither revoked nor expired."""
    return int(session.execute(_COUNT, {"owner_id": owner.user_id, "now": now}).scalar_one())


def forget_ended(session: Session, owner: Owner, kept: int, now: datetime) -> None:
    """Delete all but the newest ``kept`` of an owner's keys that have ended."""
    session.execute(_FORGET_ENDED, {"owner_id": owner.user_id, "kept": kept, "now": now})


def add_key(session: Session, key: ApiKey) -> None:
    """Add a key."""
    session.add(key)
    session.flush()


def list_keys(session: Session, scope: Scope, limit: int, cursor: str | None) -> Page:
    """A page of the keys in a scope, including ended ones, in the order of their creation.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    bound = {"owner_id": bound_owner(scope)}
    return list_by_id(session, Order("keys"), _ITEM, f"api_keys WHERE {IN_SCOPE}", bound, limit, cursor)


def find_key(session: Session, scope: Scope, key_id: UUID) -> ApiKey | None:
    """One key; None if there is none in this scope."""
    key = session.get(ApiKey, key_id, populate_existing=True)
    is_anothers = isinstance(scope, Owner) and key is not None and key.owner_id != scope.user_id
    return None if is_anothers else key


def revoke_key(session: Session, key_id: UUID, now: datetime) -> None:
    """End a key, and all keys that were made with it. Those that have ended already stay as they are."""
    session.execute(_REVOKE, {"id": key_id, "now": now})
