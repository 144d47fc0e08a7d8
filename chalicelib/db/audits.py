"""Audits, and what is known of buckets by them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from chalicelib.catalog.audits import Audit, AuditRequest, BucketTruth
from chalicelib.catalog.inventories import MARGIN
from chalicelib.db import models
from chalicelib.db.comparing import beyond
from chalicelib.db.inventories import add_inventory
from chalicelib.db.pages import Order, Page, in_utc, list_by_id
from chalicelib.ids import uuid7

# What was found by ranges and by second looks together. Until it is settled, what may be gone counts as gone.
_AUDITS = """
SELECT a.id, a.bucket, a.prefix, a.repairs, a.state, a.brake, a.grace_seconds, a.problem, a.created_at, a.updated_at,
    a.finished_at, r.compared, a.missing + r.missing AS missing, a.different + r.different AS different,
    a.gone + f.gone AS gone, f.unsure, a.recorded + r.recorded AS recorded,
    's3://' || i.bucket || '/' || i.key AS inventory, i.made_at AS inventory_at
FROM audits AS a
LEFT JOIN audit_inventories AS i ON i.audit_id = a.id
CROSS JOIN LATERAL (
    SELECT CAST(coalesce(sum(compared), 0) AS bigint) AS compared, CAST(coalesce(sum(missing), 0) AS bigint) AS missing,
        CAST(coalesce(sum(different), 0) AS bigint) AS different, CAST(coalesce(sum(recorded), 0) AS bigint) AS recorded
    FROM audit_ranges WHERE audit_id = a.id) AS r
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE kind = 'gone') AS gone, count(*) FILTER (WHERE kind = 'unsure') AS unsure
    FROM audit_findings WHERE audit_id = a.id AND NOT is_settled) AS f
"""
_AUDIT = text(f"{_AUDITS} WHERE a.id = :id")
# As `chalicelib.api.schemas.audits.AuditOut` has it.
_ITEM = f"""id, bucket, prefix, repairs, state, brake, grace_seconds, compared, missing, different, gone, unsure, recorded,
    problem, {in_utc("created_at")} AS created_at, {in_utc("updated_at")} AS updated_at,
    {in_utc("finished_at")} AS finished_at, inventory, {in_utc("inventory_at")} AS inventory_at"""
_LISTED = f"({_AUDITS}) AS audit WHERE true"

_TRUTH = text(
    """
SELECT b.bucket, agreed.at, first.created_at, last.id, last.missing + last.different + last.gone, recent.drift,
    coalesce(last.state = 'braked', false), open.unsure
FROM (SELECT unnest(CAST(:buckets AS text[])) AS bucket UNION SELECT DISTINCT bucket FROM audits) AS b
LEFT JOIN LATERAL (
    SELECT coalesce(inventory_at - CAST(:margin AS interval), created_at) AS at
    FROM ({audits} WHERE a.bucket = b.bucket AND a.prefix = '' AND a.state = 'done') AS audit
    -- Of an audit that is done, the problem is that S3 has refused to tell of some keys.
    WHERE problem IS NULL AND (repairs OR missing + different + gone = 0)
    ORDER BY at DESC LIMIT 1) AS agreed ON true
LEFT JOIN LATERAL (
    SELECT * FROM ({audits} WHERE a.bucket = b.bucket AND a.prefix = '' AND a.state IN ('done', 'braked')) AS audit
    ORDER BY finished_at DESC LIMIT 1) AS last ON true
CROSS JOIN LATERAL (SELECT min(created_at) AS created_at FROM audits AS a WHERE a.bucket = b.bucket) AS first
CROSS JOIN LATERAL (
    SELECT CAST(coalesce(sum(missing + different + gone), 0) AS bigint) AS drift
    FROM ({audits} WHERE a.bucket = b.bucket AND a.is_scheduled AND a.finished_at > :hour_ago) AS audit) AS recent
CROSS JOIN LATERAL (
    SELECT count(*) AS unsure FROM audits AS a JOIN audit_findings AS f ON f.audit_id = a.id AND NOT f.is_settled
    WHERE a.bucket = b.bucket AND a.finished_at IS NULL) AS open
ORDER BY b.bucket
""".replace("{audits}", _AUDITS)
)


def add_audit(session: Session, request: AuditRequest, requested_by: UUID | None, now: datetime) -> UUID:
    """A new audit with one range: all keys."""
    audit = models.Audit(
        id=uuid7(now),
        bucket=request.bucket,
        prefix=request.prefix,
        repairs=request.repairs,
        state="listing" if request.inventory is None else "loading",
        brake=request.brake,
        grace_seconds=request.grace.total_seconds(),
        requested_by=requested_by,
        created_at=now,
        updated_at=now,
    )
    session.add(audit)
    session.flush()
    session.add(models.AuditRange(audit_id=audit.id, position=""))
    session.flush()
    if request.inventory is not None:
        add_inventory(session, audit.id, request.inventory)
    return audit.id


def count_versions(session: Session, bucket: str, prefix: str) -> int:
    """How many versions the catalogue takes to be in a bucket, of keys that begin with ``prefix``."""
    version = models.ObjectVersion
    found = select(func.count()).where(version.bucket == bucket, version.alive, version.key >= prefix)
    above = beyond(prefix)
    return session.scalar(found if above is None else found.where(version.key < above)) or 0


def find_audit(session: Session, audit_id: UUID) -> Audit | None:
    """An audit, without examples; None if there is none."""
    row = session.execute(_AUDIT, {"id": audit_id}).mappings().one_or_none()
    return None if row is None else Audit(**row)


def list_audits(session: Session, limit: int, cursor: str | None) -> Page:
    """A page of all audits, the newest first.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    return list_by_id(session, Order("audits", descending=True), _ITEM, _LISTED, {}, limit, cursor)


def truth_of(session: Session, buckets: Sequence[str], now: datetime) -> list[BucketTruth]:
    """How well these buckets are known, and all that were audited."""
    values = {"buckets": list(buckets), "hour_ago": now - timedelta(hours=1), "margin": MARGIN}
    return [BucketTruth(*row) for row in session.execute(_TRUTH, values)]


def open_audits(session: Session) -> list[tuple[UUID, bool]]:
    """Audits that haven't ended, and whether the clock has begun them: those that somebody asked for first, then the oldest."""
    audit = models.Audit
    found = select(audit.id, audit.is_scheduled).where(audit.finished_at.is_(None))
    return [
        (audit_id, scheduled) for audit_id, scheduled in session.execute(found.order_by(audit.is_scheduled, audit.id))
    ]


def lock_audit(session: Session, audit_id: UUID) -> Audit | None:
    """Lock an audit that hasn't ended until the transaction ends; None if there is none."""
    audit = models.Audit
    found = select(audit.id).where(audit.id == audit_id, audit.finished_at.is_(None)).with_for_update()
    return None if session.scalar(found) is None else find_audit(session, audit_id)


def set_state(session: Session, audit_id: UUID, now: datetime, **values: Any) -> None:
    """Change an audit's state, its problem, or when it was finished."""
    audit = session.get_one(models.Audit, audit_id)
    for name, value in values.items():
        setattr(audit, name, value)
    audit.updated_at = now
    session.flush()
