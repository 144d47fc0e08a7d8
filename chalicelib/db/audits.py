"""Audits, their ranges and their findings. Ranges and findings are leased: a worker that dies loses them to another one.

Leases end by the database's clock, because workers' clocks may differ.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from chalicelib.catalog.audits import Audit, AuditRequest, BucketTruth, DriftKind, Example
from chalicelib.db import models
from chalicelib.db.comparing import beyond
from chalicelib.db.pages import Order, Page, in_utc, list_by_id
from chalicelib.ids import uuid7

_LEASE_SECONDS = 60
_EXAMPLES = 30  # of each kind
_KINDS: tuple[DriftKind, ...] = ("missing", "different", "gone")


class Range(NamedTuple):
    """A range of keys that this worker compares."""

    id: int
    position: str
    until: str | None


@dataclass(frozen=True, slots=True)
class Counts:
    """Versions that a page of a listing, or a second look, brought."""

    compared: int = 0
    missing: int = 0
    different: int = 0
    gone: int = 0
    recorded: int = 0


class Finding(NamedTuple):
    """A version that differs, or, ``unsure`` and with no version id, a key to look at again."""

    key: str
    version_id: str
    kind: DriftKind
    put_rank: str = ""
    is_settled: bool = False


# What was found by ranges and by second looks together. Until it is settled, what may be gone counts as gone.
_AUDITS = """
SELECT a.id, a.bucket, a.prefix, a.repairs, a.state, a.brake, a.grace_seconds, a.problem, a.created_at, a.updated_at,
    a.finished_at, r.compared, a.missing + r.missing AS missing, a.different + r.different AS different,
    a.gone + f.gone AS gone, f.unsure, a.recorded + r.recorded AS recorded
FROM audits AS a
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
    {in_utc("finished_at")} AS finished_at"""
_LISTED = f"({_AUDITS}) AS audit WHERE true"

_TRUTH = text(
    """
SELECT b.bucket, agreed.created_at, last.id, last.missing + last.different + last.gone, open.unsure
FROM (SELECT unnest(CAST(:buckets AS text[])) AS bucket UNION SELECT DISTINCT bucket FROM audits) AS b
LEFT JOIN LATERAL (
    SELECT created_at FROM ({audits} WHERE a.bucket = b.bucket AND a.prefix = '' AND a.state = 'done') AS audit
    WHERE repairs OR missing + different + gone = 0
    ORDER BY created_at DESC LIMIT 1) AS agreed ON true
LEFT JOIN LATERAL (
    SELECT * FROM ({audits} WHERE a.bucket = b.bucket AND a.prefix = '' AND a.state IN ('done', 'braked')) AS audit
    ORDER BY finished_at DESC LIMIT 1) AS last ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS unsure FROM audits AS a JOIN audit_findings AS f ON f.audit_id = a.id AND NOT f.is_settled
    WHERE a.bucket = b.bucket AND a.finished_at IS NULL) AS open
ORDER BY b.bucket
""".replace("{audits}", _AUDITS)
)

_CLAIM = text("""
UPDATE audit_ranges SET worker = :worker, leased_until = clock_timestamp() + make_interval(secs => :seconds)
WHERE id = (
    SELECT id FROM audit_ranges
    WHERE audit_id = :audit AND NOT is_done AND coalesce(leased_until < clock_timestamp(), true)
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, position, until
""")

# The audit's row is locked against its being cancelled or braked, which ends all work on it.
_KEEP = text("""
SELECT r.id, r.position, r.until FROM audits AS a JOIN audit_ranges AS r ON r.audit_id = a.id
WHERE r.id = :range AND r.worker = :worker AND NOT r.is_done AND a.state = 'listing'
FOR KEY SHARE OF a FOR UPDATE OF r
""")

_ADVANCE = text("""
UPDATE audit_ranges SET position = coalesce(:position, position), is_done = :is_done,
    leased_until = clock_timestamp() + make_interval(secs => :seconds), compared = compared + :compared,
    missing = missing + :missing, different = different + :different, recorded = recorded + :recorded
WHERE id = :range
""")

_RELEASE = text("UPDATE audit_ranges SET leased_until = NULL, worker = NULL WHERE worker = :worker AND NOT is_done")

# Another worker's range is cut where the catalogue has so many keys of it left.
_SPLIT = text("""
SELECT r.id, r.until, c.key FROM audit_ranges AS r
JOIN audits AS a ON a.id = r.audit_id
CROSS JOIN LATERAL (
    SELECT key FROM object_versions
    WHERE bucket = a.bucket AND key > r.position AND (r.until IS NULL OR key < r.until) AND key >= a.prefix
        AND (CAST(:beyond AS text) IS NULL OR key < :beyond)
    ORDER BY key OFFSET :ahead LIMIT 1) AS c
WHERE r.audit_id = :audit AND NOT r.is_done
ORDER BY r.id DESC LIMIT 1
FOR UPDATE OF r SKIP LOCKED
""")

_ADD_FINDINGS = text("""
INSERT INTO audit_findings (audit_id, key, version_id, kind, put_rank, is_settled, found_at)
SELECT :audit, i.key, i.version_id, i.kind, i.put_rank, i.is_settled, clock_timestamp()
FROM unnest(CAST(:keys AS text[]), CAST(:version_ids AS text[]), CAST(:kinds AS text[]), CAST(:ranks AS text[]),
    CAST(:settled AS boolean[])) AS i (key, version_id, kind, put_rank, is_settled)
ON CONFLICT DO NOTHING
""")

_CLAIM_KEYS = text("""
WITH due AS MATERIALIZED (
    SELECT key, version_id, kind FROM audit_findings
    WHERE audit_id = :audit AND NOT is_settled AND coalesce(leased_until < clock_timestamp(), true)
        AND found_at <= clock_timestamp() - make_interval(secs => :grace)
    ORDER BY key LIMIT :limit FOR UPDATE SKIP LOCKED)
UPDATE audit_findings AS f SET leased_until = clock_timestamp() + make_interval(secs => :seconds)
FROM due WHERE f.audit_id = :audit AND f.key = due.key AND f.version_id = due.version_id AND f.kind = due.kind
RETURNING f.key
""")

# What a second look found to be there was no drift.
_FORGET = text("""
DELETE FROM audit_findings
WHERE audit_id = :audit AND key = ANY(CAST(:keys AS text[])) AND NOT is_settled AND kind IN ('gone', 'unsure')
""")

# Candidates that the catalogue has recorded as removed meanwhile don't count.
_TO_BURY = text("""
SELECT count(*) FROM audit_findings AS f JOIN object_versions AS v
    ON v.bucket = :bucket AND v.key = f.key AND v.version_id = f.version_id AND v.put_rank = f.put_rank AND v.alive
WHERE f.audit_id = :audit AND f.kind = 'gone' AND NOT f.is_settled AND f.key <> ALL (CAST(:keys AS text[]))
""")


def add_audit(session: Session, request: AuditRequest, requested_by: UUID | None, now: datetime) -> UUID:
    """A new audit with one range: all keys."""
    audit = models.Audit(
        id=uuid7(now),
        bucket=request.bucket,
        prefix=request.prefix,
        repairs=request.repairs,
        state="listing",
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
    return audit.id


def find_audit(session: Session, audit_id: UUID) -> Audit | None:
    """An audit, without examples; None if there is none."""
    row = session.execute(_AUDIT, {"id": audit_id}).mappings().one_or_none()
    return None if row is None else Audit(**row)


def list_examples(session: Session, audit_id: UUID) -> list[Example]:
    """Versions that differ, a few of each kind."""
    finding = models.AuditFinding
    examples = []
    for kind in _KINDS:
        found = select(finding.key, finding.version_id, finding.kind)
        found = found.where(finding.audit_id == audit_id, finding.kind == kind)
        rows = session.execute(found.order_by(finding.key, finding.version_id).limit(_EXAMPLES))
        examples += [Example(*row) for row in rows]
    return examples


def list_audits(session: Session, limit: int, cursor: str | None) -> Page:
    """A page of all audits, the newest first.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    return list_by_id(session, Order("audits", descending=True), _ITEM, _LISTED, {}, limit, cursor)


def truth_of(session: Session, buckets: Sequence[str]) -> list[BucketTruth]:
    """How well these buckets are known, and all that were audited."""
    return [BucketTruth(*row) for row in session.execute(_TRUTH, {"buckets": list(buckets)})]


def open_audits(session: Session) -> Sequence[UUID]:
    """Audits that haven't ended, the oldest first."""
    audit = models.Audit
    return session.scalars(select(audit.id).where(audit.finished_at.is_(None)).order_by(audit.id)).all()


def claim_range(session: Session, audit_id: UUID, worker: UUID) -> Range | None:
    """Lease a range that nobody works on; None if there is none."""
    values = {"audit": audit_id, "worker": worker, "seconds": _LEASE_SECONDS}
    row = session.execute(_CLAIM, values).one_or_none()
    return None if row is None else Range(*row)


def keep_range(session: Session, range_id: int, worker: UUID) -> Range | None:
    """Lock a range that this worker has leased, as it is now: another one may have taken its end. None: it is lost."""
    row = session.execute(_KEEP, {"range": range_id, "worker": worker}).one_or_none()
    return None if row is None else Range(*row)


def advance_range(session: Session, range_id: int, position: str | None, counts: Counts) -> None:
    """Note that all keys up to ``position`` are compared; None: the whole range is."""
    values = {name: getattr(counts, name) for name in ("compared", "missing", "different", "recorded")}
    values |= {"range": range_id, "position": position, "is_done": position is None, "seconds": _LEASE_SECONDS}
    session.execute(_ADVANCE, values)


def release_ranges(session: Session, worker: UUID) -> None:
    """Give back what this worker has leased."""
    session.execute(_RELEASE, {"worker": worker})


def split_range(session: Session, audit: Audit, ahead: int) -> bool:
    """Cut a range in two where the catalogue knows ``ahead`` more versions of it; returns whether there was one to cut."""
    row = session.execute(_SPLIT, {"audit": audit.id, "beyond": beyond(audit.prefix), "ahead": ahead}).one_or_none()
    if row is None:
        return False
    session.add(models.AuditRange(audit_id=audit.id, position=row.key, until=row.until))
    session.execute(text("UPDATE audit_ranges SET until = :key WHERE id = :id"), {"key": row.key, "id": row.id})
    session.flush()
    return True


def add_findings(session: Session, audit_id: UUID, findings: Iterable[Finding]) -> None:
    """Note what was found. Noting it again changes nothing."""
    rows = list(findings)
    if not rows:
        return
    keys, version_ids, kinds, ranks, settled = (list(column) for column in zip(*rows, strict=True))
    values = {"keys": keys, "version_ids": version_ids, "kinds": kinds, "ranks": ranks, "settled": settled}
    session.execute(_ADD_FINDINGS, {"audit": audit_id, **values})


def claim_keys(session: Session, audit_id: UUID, grace_seconds: float, limit: int) -> list[str]:
    """Lease keys that are to be looked at again, and were found that long ago."""
    values = {"audit": audit_id, "grace": grace_seconds, "limit": limit, "seconds": _LEASE_SECONDS}
    return list(dict.fromkeys(session.scalars(_CLAIM_KEYS, values)))


def release_keys(session: Session, audit_id: UUID, keys: Sequence[str]) -> None:
    """Give back keys that could not be looked at."""
    finding = models.AuditFinding
    leased = update(finding).where(finding.audit_id == audit_id, finding.key.in_(keys), ~finding.is_settled)
    session.execute(leased.values(leased_until=None))


def still_open(session: Session, audit_id: UUID, keys: Sequence[str]) -> list[str]:
    """Those of these keys that are still to be looked at again. The caller has locked the audit."""
    finding = models.AuditFinding
    found = select(finding.key).where(finding.audit_id == audit_id, finding.key.in_(keys), ~finding.is_settled)
    return list(session.scalars(found.distinct()))


def settle_keys(
    session: Session, audit_id: UUID, keys: Sequence[str], found: Sequence[Finding], counts: Counts
) -> None:
    """Note what a second look at keys has found, in place of what was found before."""
    session.execute(_FORGET, {"audit": audit_id, "keys": list(keys)})
    add_findings(session, audit_id, found)
    audit = models.Audit
    row = session.get_one(audit, audit_id)
    row.missing += counts.missing
    row.different += counts.different
    row.gone += counts.gone
    row.recorded += counts.recorded
    session.flush()


def lock_audit(session: Session, audit_id: UUID) -> Audit | None:
    """Lock an audit that hasn't ended until the transaction ends; None if there is none."""
    audit = models.Audit
    found = select(audit.id).where(audit.id == audit_id, audit.finished_at.is_(None)).with_for_update()
    return None if session.scalar(found) is None else find_audit(session, audit_id)


def count_to_bury(session: Session, audit: Audit, besides: Sequence[str]) -> int:
    """How many versions an audit is still to record as gone, as far as it knows, without those of the keys ``besides``."""
    values = {"audit": audit.id, "bucket": audit.bucket, "keys": list(besides)}
    count: int = session.execute(_TO_BURY, values).scalar_one()
    return count


def count_open_gone(session: Session, audit_id: UUID) -> int:
    """How many versions may be gone, and are to be looked at again."""
    finding = models.AuditFinding
    found = select(func.count()).where(finding.audit_id == audit_id, finding.kind == "gone", ~finding.is_settled)
    return session.scalar(found) or 0


def has_open_ranges(session: Session, audit_id: UUID) -> bool:
    """Whether some keys are still to be compared."""
    part = models.AuditRange
    return session.scalar(select(part.id).where(part.audit_id == audit_id, ~part.is_done).limit(1)) is not None


def has_open_findings(session: Session, audit_id: UUID) -> bool:
    """Whether some keys are still to be looked at again."""
    finding = models.AuditFinding
    found = select(finding.key).where(finding.audit_id == audit_id, ~finding.is_settled).limit(1)
    return session.scalar(found) is not None


def set_state(session: Session, audit_id: UUID, now: datetime, **values: Any) -> None:
    """Change an audit's state, its problem, or when it was finished."""
    audit = session.get_one(models.Audit, audit_id)
    for name, value in values.items():
        setattr(audit, name, value)
    audit.updated_at = now
    session.flush()
