"""Audits that the clock begins: what is due, and what may be forgotten."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.catalog.audits import AuditRequest
from chalicelib.db.comparing import beyond
from chalicelib.ids import uuid7

# An audit of the whole bucket counts, whoever has begun it, and however it has ended. One that still loads its inventory counts
# no longer than one that has ended: it may wait for ever, as for somebody who can read Parquet.
_DUE = text("""
SELECT b.name FROM unnest(CAST(:buckets AS text[])) AS b (name)
WHERE NOT EXISTS (
    SELECT FROM audits AS a
    WHERE a.bucket = b.name AND (a.prefix = '' OR :any_prefix) AND a.repairs
        AND (a.finished_at IS NULL AND (a.state <> 'loading' OR a.created_at > :since)
            OR a.finished_at > :since AND a.created_at > :since))
""")

# Two runs of the clock at once begin one audit: see the index `audits_scheduled_key`.
_BEGIN = text("""
WITH new AS (
    INSERT INTO audits (id, bucket, prefix, repairs, is_scheduled, state, brake, grace_seconds, created_at, updated_at)
    VALUES (:id, :bucket, :prefix, true, true, 'listing', :brake, :grace, :now, :now)
    ON CONFLICT DO NOTHING
    RETURNING id)
INSERT INTO audit_ranges (audit_id, position) SELECT id, '' FROM new RETURNING audit_id
""")

_RECENT = text("""
SELECT key FROM files WHERE bucket = :bucket AND updated_at > :since ORDER BY updated_at DESC LIMIT :limit
""")

_IS_LARGE = text("""
SELECT EXISTS (
    SELECT FROM object_versions
    WHERE bucket = :bucket AND key >= :prefix AND (CAST(:beyond AS text) IS NULL OR key < :beyond)
    ORDER BY key OFFSET :versions LIMIT 1)
""")

# The last one of each kind of the whole bucket stays: it says since when the bucket is known.
_FORGET = text("""
DELETE FROM audits AS a
WHERE a.finished_at < CASE WHEN a.is_scheduled THEN CAST(:scheduled_before AS timestamptz) ELSE :before END
    AND NOT (a.prefix = '' AND NOT EXISTS (
        SELECT FROM audits AS b
        WHERE b.bucket = a.bucket AND b.prefix = '' AND b.state = a.state AND b.repairs = a.repairs
            AND (b.problem IS NULL) = (a.problem IS NULL)
            AND b.finished_at > a.finished_at))
""")


def due_buckets(session: Session, buckets: Sequence[str], since: datetime, *, any_prefix: bool = False) -> list[str]:
    """Those of which no repair as a whole is under way, or was begun since then; with ``any_prefix``, none of a part either."""
    values = {"buckets": list(buckets), "since": since, "any_prefix": any_prefix}
    return list(session.scalars(_DUE, values))


def begin_scheduled(session: Session, request: AuditRequest, now: datetime) -> bool:
    """Begin a repair by the clock; returns False if one of the same keys is under way."""
    values = {"bucket": request.bucket, "prefix": request.prefix, "brake": request.brake}
    values |= {"id": uuid7(now), "grace": request.grace.total_seconds(), "now": now}
    return session.execute(_BEGIN, values).scalar_one_or_none() is not None


def recent_keys(session: Session, bucket: str, since: datetime, limit: int) -> list[str]:
    """Keys whose files have changed since then, the latest first."""
    return list(session.scalars(_RECENT, {"bucket": bucket, "since": since, "limit": limit}))


def is_large(session: Session, bucket: str, prefix: str, versions: int) -> bool:
    """Whether the catalogue knows more than so many versions of keys that begin with ``prefix``."""
    values = {"bucket": bucket, "prefix": prefix, "beyond": beyond(prefix), "versions": versions}
    return bool(session.execute(_IS_LARGE, values).scalar_one())


def forget_audits(session: Session, before: datetime, scheduled_before: datetime) -> int:
    """Delete audits that ended before then, and those of the clock that ended before another time; returns how many."""
    values = {"before": before, "scheduled_before": scheduled_before}
    return int(session.connection().execute(_FORGET, values).rowcount)
