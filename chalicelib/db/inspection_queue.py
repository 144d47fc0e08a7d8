"""What is left to inspect: versions whose ``inspect_after`` is set. The table is its own queue.

A version whose inspection was given up has an ``inspect_problem`` and no ``inspect_after``; it can be requested again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import InspectionRequest
from chalicelib.db.locks import lock_keys

# How long a claim lasts: longer than any function that inspects may run. So the work of a process that died is taken
# over.
_LEASE = timedelta(minutes=5)
MAX_TRIES = 8
_UNFINISHED = "No try to inspect it came to an end."


@dataclass(frozen=True, slots=True)
class Claim:
    """One version to inspect. ``put_rank`` tells its put apart from a later one under the same version id."""

    bucket: str
    key: str
    version_id: str
    put_rank: str
    tries: int
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a claim.

    Attributes:
        inspection, media_type, size: what was found.
        retry_at: when to try again.
        problem: why the inspection failed. Without ``retry_at`` it is given up.
        is_try: False if the inspection was only put off.
    """

    claim: Claim
    inspection: dict[str, Any] | None = None
    media_type: str | None = None
    size: int | None = None
    retry_at: datetime | None = None
    problem: str | None = None
    is_try: bool = True

    @property
    def is_lost(self) -> bool:
        """Whether the object is gone, or another one has come: an event is on its way, or was lost."""
        return self.inspection is None and self.retry_at is None and self.problem is None


_REQUEST = text("""
UPDATE object_versions AS v SET inspect_after = :now, inspect_tries = 0
FROM unnest(CAST(:buckets AS text[]), CAST(:keys AS text[]), CAST(:version_ids AS text[])) AS t (bucket, key, version_id)
WHERE v.bucket = t.bucket AND v.key = t.key AND v.version_id = t.version_id AND v.put_rank <> ''
    AND NOT v.is_delete_marker
""")

# SKIP LOCKED: two claimants share the work instead of waiting for each other. A removed version has nothing to inspect.
# The oldest first for the schedule, the newest first right after recording: a flood must not starve what just came.
_CLAIM = """
WITH due AS MATERIALIZED (
    SELECT bucket, key, version_id FROM object_versions
    WHERE inspect_after <= :now {condition}
    ORDER BY inspect_after {direction}
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
UPDATE object_versions AS v
SET inspect_after = CASE WHEN v.alive AND v.inspect_tries < :most_tries THEN CAST(:lease_end AS timestamptz) END,
    inspect_problem = CASE WHEN v.alive AND v.inspect_tries >= :most_tries THEN CAST(:unfinished AS text)
        ELSE v.inspect_problem END,
    inspect_tries = v.inspect_tries + 1
FROM due
WHERE v.bucket = due.bucket AND v.key = due.key AND v.version_id = due.version_id
RETURNING v.bucket, v.key, v.version_id, v.put_rank, v.inspect_tries, v.etag, v.inspect_after IS NOT NULL AS claimed
"""
_CLAIM_OLDEST = text(_CLAIM.format(direction="ASC", condition=""))
_CLAIM_NEWEST = text(_CLAIM.format(direction="DESC", condition=""))
_CLAIM_ONE = text(
    _CLAIM.format(direction="ASC", condition="AND bucket = :bucket AND key = :key AND version_id = :version_id")
)

# The rank is compared, because another put may have come under the same version id meanwhile. What was found isn't
# about that one.
_SAVE = text("""
WITH found AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(CAST(:findings AS jsonb)) AS f (
        bucket text, key text, version_id text, put_rank text, inspection jsonb, media_type text, size bigint,
        retry_at timestamptz, problem text, is_try boolean)
), saved AS (
    UPDATE object_versions AS v
    SET inspection = coalesce(f.inspection, v.inspection), media_type = coalesce(f.media_type, v.media_type),
        size = coalesce(v.size, f.size), inspect_after = f.retry_at,
        inspect_problem = CASE WHEN f.is_try THEN f.problem ELSE v.inspect_problem END,
        inspect_tries = v.inspect_tries - CASE WHEN f.is_try THEN 0 ELSE 1 END
    FROM found AS f
    WHERE v.bucket = f.bucket AND v.key = f.key AND v.version_id = f.version_id AND v.put_rank = f.put_rank
    RETURNING v.bucket, v.key, v.version_id, v.put_rank, v.media_type, v.size, f.inspection IS NOT NULL AS was_read,
        v.inspection ->> 'sha256' AS sha256,
        v.inspection ->> 'detected_media_type' AS detected_media_type,
        coalesce(CAST(v.inspection -> 'is_mismatch' AS boolean), false) AS is_mismatch
), judged_anew AS (
    -- Uploads that were judged without this finding: see chalicelib/services/upkeep/judging.py.
    UPDATE uploads AS u SET judged_rank = NULL
    FROM saved AS s JOIN files AS f ON f.bucket = s.bucket AND f.key = s.key
    WHERE u.file_id = f.id AND u.judged_rank = s.put_rank
)
-- Until an object was read, its file keeps what was announced of it, or what an event has told.
UPDATE files AS f SET media_type = s.media_type, size = s.size, sha256 = s.sha256, is_mismatch = s.is_mismatch,
    detected_media_type = s.detected_media_type, updated_at = :now
FROM saved AS s
WHERE s.was_read AND f.bucket = s.bucket AND f.key = s.key AND f.version_id = s.version_id AND f.rank = s.put_rank
    AND f.state = 'stored' AND (f.media_type, f.size, f.sha256, f.is_mismatch, f.detected_media_type)
        IS DISTINCT FROM (s.media_type, s.size, s.sha256, s.is_mismatch, s.detected_media_type)
""")


def request_inspection(session: Session, requests: Sequence[InspectionRequest], now: datetime) -> None:
    """Ask that these versions be inspected again. Those the catalogue doesn't know yet will be inspected anyway."""
    if not requests:
        return
    lock_keys(session, {(request.bucket, request.key) for request in requests})
    session.execute(
        _REQUEST,
        {
            "now": now,
            "buckets": [request.bucket for request in requests],
            "keys": [request.key for request in requests],
            "version_ids": [request.version_id for request in requests],
        },
    )


_GIVEN_UP = text("""
SELECT bucket, key, version_id FROM object_versions
WHERE inspect_problem IS NOT NULL AND inspect_after IS NULL AND alive
ORDER BY bucket, key LIMIT :limit
""")


def request_given_up(session: Session, now: datetime, limit: int) -> int:
    """Ask that up to ``limit`` versions whose inspection was given up be inspected again; returns how many."""
    found = session.execute(_GIVEN_UP, {"limit": limit})
    requests = [InspectionRequest(row.bucket, row.key, row.version_id, "InspectAgain") for row in found]
    request_inspection(session, requests, now)
    return len(requests)


def claim_version(session: Session, now: datetime, version: InspectionRequest) -> list[Claim]:
    """Claim one version if it is due, as `claim_due` does."""
    row = session.execute(
        _CLAIM_ONE,
        {
            "now": now,
            "limit": 1,
            "most_tries": MAX_TRIES,
            "lease_end": now + _LEASE,
            "unfinished": _UNFINISHED,
            "bucket": version.bucket,
            "key": version.key,
            "version_id": version.version_id,
        },
    ).one_or_none()
    return [Claim(*row[:6])] if row is not None and row.claimed else []


def claim_due(session: Session, now: datetime, limit: int, newest_first: bool = False) -> list[Claim]:
    """Claim up to ``limit`` versions that are due; nobody else gets them for five minutes.

    A version that was claimed `MAX_TRIES` times is given up, and its problem says so, even if every claimant has died.
    """
    statement = _CLAIM_NEWEST if newest_first else _CLAIM_OLDEST
    values = {"now": now, "limit": limit, "most_tries": MAX_TRIES, "lease_end": now + _LEASE, "unfinished": _UNFINISHED}
    rows = session.execute(statement, values).all()
    return [Claim(*row[:6]) for row in rows if row.claimed]


def save_findings(session: Session, findings: Sequence[Finding], now: datetime) -> None:
    """Store what was found, on the version and, if it is the current one, on its file."""
    if not findings:
        return
    lock_keys(session, {(finding.claim.bucket, finding.claim.key) for finding in findings})
    rows = [
        {
            "bucket": finding.claim.bucket,
            "key": finding.claim.key,
            "version_id": finding.claim.version_id,
            "put_rank": finding.claim.put_rank,
            "inspection": finding.inspection,
            "media_type": finding.media_type,
            "size": finding.size,
            "retry_at": finding.retry_at.isoformat() if finding.retry_at else None,
            "problem": finding.problem,
            "is_try": finding.is_try,
        }
        for finding in findings
    ]
    session.execute(_SAVE, {"findings": json.dumps(rows), "now": now})
