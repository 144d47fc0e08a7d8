"""What audits have found, and what they are to look at again. Keys are leased: a worker that dies loses them to another one.

Leases end by the database's clock, because workers' clocks may differ.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from chalicelib.catalog.audits import Audit, DriftKind, Example
from chalicelib.db import models
from chalicelib.db.audit_ranges import LEASE_SECONDS, Counts

_EXAMPLES = 30  # of each kind
_KINDS: tuple[DriftKind, ...] = ("missing", "different", "gone")


class Finding(NamedTuple):
    """A version that differs, or, ``unsure`` and with no version id, a key to look at again."""

    key: str
    version_id: str
    kind: DriftKind
    put_rank: str = ""
    is_settled: bool = False


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
    values = {"audit": audit_id, "grace": grace_seconds, "limit": limit, "seconds": LEASE_SECONDS}
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


def count_refused(session: Session, audit_id: UUID) -> int:
    """Of how many keys the store has refused to tell: they are settled, and unsure."""
    finding = models.AuditFinding
    refused = finding.audit_id == audit_id, finding.kind == "unsure", finding.is_settled
    return session.scalar(select(func.count()).select_from(finding).where(*refused)) or 0


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


def has_open_findings(session: Session, audit_id: UUID) -> bool:
    """Whether some keys are still to be looked at again."""
    finding = models.AuditFinding
    found = select(finding.key).where(finding.audit_id == audit_id, ~finding.is_settled).limit(1)
    return session.scalar(found) is not None
