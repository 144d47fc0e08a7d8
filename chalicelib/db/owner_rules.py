"""Owner rules: whom objects belong to that are put straight into a bucket."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from chalicelib.db.arrays import plain, rare_texts
from chalicelib.db.locks import lock_files
from chalicelib.db.models import OwnerRule
from chalicelib.db.pages import Order, Page, in_utc, list_by_id
from chalicelib.ids import uuid7

# As `chalicelib.api.schemas.owner_rules.OwnerRuleOut` has it.
_ITEM = f"id, bucket, prefix, user_id, {in_utc('created_at')} AS created_at"

HAS_RULES = "(SELECT EXISTS (SELECT FROM owner_rules))"
# The owner of ``t``: bucket, key, default_owner. The longest prefix wins; that of the default, a user's id and a slash, has 37
# characters, and a rule for the very same prefix goes before it.
# No index finds the prefixes of a key. So each length that any rule has is tried: one probe of the index for each.
RULES_OWNER = """
    SELECT o.user_id FROM (
        SELECT r.user_id, l.length, true AS is_rule
        FROM (SELECT DISTINCT length(prefix) AS length FROM owner_rules) AS l
        CROSS JOIN LATERAL (
            SELECT user_id FROM owner_rules WHERE bucket = t.bucket AND prefix = left(t.key, l.length) LIMIT 1) AS r
        UNION ALL
        SELECT u.id, 37, false FROM users AS u WHERE u.id = t.default_owner) AS o
    ORDER BY o.length DESC, o.is_rule DESC LIMIT 1
"""
_USER_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/")

# What a moved file has left is that file's, and what is pending holds the new key of a move. Of a file that was permanently
# removed nothing is left to give but its history.
_IS_NOBODYS = """f.owner_id IS NULL AND f.moved_to IS NULL AND f.state <> 'pending'
    AND (f.state = 'deleted' AND f.purged_at >= f.updated_at) IS NOT true"""
# By keys, because an index hands out a prefix's keys in order.
_UNOWNED = text(f"""
SELECT f.id, f.key FROM files AS f
WHERE f.bucket = :bucket AND f.key ^@ :prefix AND f.key > :after AND {_IS_NOBODYS}
ORDER BY f.key LIMIT :limit
""")  # noqa: S608 - no values
# A deleted file keeps `updated_at`, which says since when it is deleted. A file whose bytes a move has just copied to its new key
# is at that key soon.
_ASSIGN = text(f"""
UPDATE files AS f SET owner_id = a.owner_id, updated_at = CASE WHEN f.state = 'deleted' THEN f.updated_at ELSE :now END
FROM (
    SELECT t.id, ({RULES_OWNER}) AS owner_id FROM (
        SELECT w.id, w.bucket, w.key, d.default_owner
        FROM unnest(CAST(:ids AS uuid[]), CAST(:default_owners AS uuid[])) AS d (id, default_owner)
        JOIN files AS w ON w.id = d.id) AS t) AS a
WHERE f.id = a.id AND a.owner_id IS NOT NULL AND {_IS_NOBODYS} AND CAST(f.id AS text) NOT IN (
    SELECT j.command ->> 'placeholder' FROM jobs AS j WHERE j.kind = 'move' AND j.state IN ('queued', 'running'))
RETURNING f.id
""")  # noqa: S608 - no values


@dataclass(frozen=True, slots=True)
class Unowned:
    """A file that belongs to nobody."""

    id: UUID
    key: str


def default_owner(key: str) -> str | None:
    """The id of the user whose folder a key is in, if it looks like one. Nobody may have this id."""
    # The slash is looked for first: this runs for every key that is recorded.
    return key[:36] if key[36:37] == "/" and _USER_ID.match(key) else None


def list_rules(session: Session, limit: int, cursor: str | None) -> Page:
    """A page of the rules, in the order of their creation.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    return list_by_id(session, Order("owner rules"), _ITEM, "owner_rules WHERE true", {}, limit, cursor)


def find_rule(session: Session, rule_id: UUID) -> OwnerRule | None:
    """One rule; None if there is none."""
    return session.get(OwnerRule, rule_id)


def add_rule(session: Session, bucket: str, prefix: str, user_id: UUID, now: datetime) -> OwnerRule:
    """Add a rule.

    Raises:
        DBAPIError: there is one for this prefix already, or no such user.
    """
    rule = OwnerRule(id=uuid7(now), bucket=bucket, prefix=prefix, user_id=user_id, created_at=now)
    session.add(rule)
    session.flush()
    return rule


def delete_rule(session: Session, rule_id: UUID) -> bool:
    """Delete a rule; returns whether there was one."""
    return session.scalar(delete(OwnerRule).where(OwnerRule.id == rule_id).returning(OwnerRule.id)) is not None


def find_unowned(session: Session, bucket: str, prefix: str, after_key: str, limit: int) -> Sequence[Unowned]:
    """Files below a prefix that belong to nobody, stored or in the trash, in the order of their keys, after ``after_key``."""
    bound = {"bucket": bucket, "prefix": prefix, "after": after_key, "limit": limit}
    return [Unowned(row.id, row.key) for row in session.execute(_UNOWNED, bound)]


def assign_owners(session: Session, unowned: Sequence[Unowned], now: datetime) -> int:
    """Give files that belong to nobody to whom the rules say; returns how many have got an owner. Their keys are locked."""
    ids = [file.id for file in unowned]
    lock_files(session, ids)
    owners = rare_texts([default_owner(file.key) for file in unowned])
    return len(session.execute(_ASSIGN, {"ids": plain(ids), "default_owners": owners, "now": now}).all())
