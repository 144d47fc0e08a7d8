"""The ranges of keys that audits go through. A range is leased: a worker that dies loses it to another one.

Leases end by the database's clock, because workers' clocks may differ.
"""

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from chalicelib.catalog.audits import Audit
from chalicelib.db import models
from chalicelib.db.comparing import beyond
from chalicelib.db.engine import prepared_write, waiting_write

LEASE_SECONDS = 60


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


_CLAIM = text("""
UPDATE audit_ranges SET worker = :worker, leased_until = clock_timestamp() + make_interval(secs => :seconds)
WHERE id = (
    SELECT id FROM audit_ranges
    WHERE audit_id = :audit AND NOT is_done AND coalesce(leased_until < clock_timestamp(), true)
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, position, until
""")

# The audit's row is locked against its being cancelled or braked, which ends all work on it.
_KEEP = prepared_write(
    text("""
SELECT r.id, r.position, r.until FROM audits AS a JOIN audit_ranges AS r ON r.audit_id = a.id
WHERE r.id = :range AND r.worker = :worker AND NOT r.is_done AND a.state = 'listing'
FOR KEY SHARE OF a FOR UPDATE OF r
""")
)

_ADVANCE = prepared_write(
    text("""
UPDATE audit_ranges SET position = coalesce(:position, position), is_done = :is_done,
    leased_until = clock_timestamp() + make_interval(secs => :seconds), compared = compared + :compared,
    missing = missing + :missing, different = different + :different, recorded = recorded + :recorded
WHERE id = :range
""")
)

_RENEW = text(
    "UPDATE audit_ranges SET leased_until = clock_timestamp() + make_interval(secs => :seconds) WHERE id = :range"
)

_RELEASE = text("UPDATE audit_ranges SET leased_until = NULL, worker = NULL WHERE worker = :worker AND NOT is_done")

# The last range of which the catalogue has so many keys left.
_AHEAD = text("""
SELECT r.id, c.key FROM audit_ranges AS r
JOIN audits AS a ON a.id = r.audit_id
CROSS JOIN LATERAL (
    SELECT key FROM object_versions
    WHERE bucket = a.bucket AND key > r.position AND (r.until IS NULL OR key < r.until) AND key >= a.prefix
        AND (CAST(:beyond AS text) IS NULL OR key < :beyond)
    ORDER BY key OFFSET :ahead LIMIT 1) AS c
WHERE r.audit_id = :audit AND NOT r.is_done AND r.position < c.key
ORDER BY r.id DESC LIMIT 1
""")

# Apart from the stripes of `chalicelib.db.locks`.
_NAMESPACE = 0x1A4DFA12
_TRY_TO_WAIT = text(
    "SELECT pg_try_advisory_xact_lock(:namespace, CAST(mod(CAST(:range AS bigint), 2147483647) AS int))"
)
_WITHOUT_WAITING = waiting_write(text("SELECT WHERE set_config('synchronous_commit', :value, true) IS NULL"))


def claim_range(session: Session, audit_id: UUID, worker: UUID) -> Range | None:
    """Lease a range that nobody works on; None if there is none."""
    values = {"audit": audit_id, "worker": worker, "seconds": LEASE_SECONDS}
    row = session.execute(_CLAIM, values).one_or_none()
    return None if row is None else Range(*row)


def keep_range(session: Session, range_id: int, worker: UUID) -> Range | None:
    """Lock a range that this worker has leased, as it is now: another one may have taken its end. None: it is lost.

    This transaction ends without waiting for the disk. If the server dies, what it recorded and how far the range was are lost
    together, and the audit goes on from before. Whoever ends the audit waits, for all that was committed until then.
    """
    session.execute(_WITHOUT_WAITING, {"value": "off"})
    row = session.execute(_KEEP, {"range": range_id, "worker": worker}).one_or_none()
    return None if row is None else Range(*row)


def renew_range(session: Session, range_id: int) -> None:
    """Lease a range that was kept anew, while a key takes long."""
    session.execute(_RENEW, {"range": range_id, "seconds": LEASE_SECONDS})


def advance_range(session: Session, range_id: int, position: str | None, counts: Counts) -> None:
    """Note that all keys up to ``position`` are compared; None: the whole range is."""
    values = {name: getattr(counts, name) for name in ("compared", "missing", "different", "recorded")}
    values |= {"range": range_id, "position": position, "is_done": position is None, "seconds": LEASE_SECONDS}
    session.execute(_ADVANCE, values)


def release_ranges(session: Session, worker: UUID) -> None:
    """Give back what this worker has leased."""
    session.execute(_RELEASE, {"worker": worker})


def split_range(session: Session, audit: Audit, ahead: int) -> bool:
    """Cut a range in two where the catalogue knows ``ahead`` more versions of it; returns whether there was one to cut."""
    row = session.execute(_AHEAD, {"audit": audit.id, "beyond": beyond(audit.prefix), "ahead": ahead}).one_or_none()
    return row is not None and cut_range(session, row.id, row.key)


def open_ranges(session: Session, audit_id: UUID) -> list[Range]:
    """The ranges that aren't compared yet, the last first."""
    part = models.AuditRange
    found = select(part.id, part.position, part.until).where(part.audit_id == audit_id, ~part.is_done)
    return [Range(*row) for row in session.execute(found.order_by(part.id.desc()))]


def cut_range(session: Session, range_id: int, key: str) -> bool:
    """Cut a range in two behind a key; returns False if by now the range isn't ahead of it, or ends before it, or another one is
    about to cut it.

    Waits for the worker of the range to end its transaction. One that repairs is nearly always in one, so whoever took no for an
    answer would hardly ever get a part of its work. Only one waits: the worker comes behind all who do.
    """
    if not session.scalar(_TRY_TO_WAIT, {"namespace": _NAMESPACE, "range": range_id}):
        return False
    part = models.AuditRange
    found = select(part).where(part.id == range_id, ~part.is_done, part.position < key)
    row = session.scalar(found.with_for_update())
    if row is None or (row.until is not None and row.until <= key):
        return False
    session.add(part(audit_id=row.audit_id, position=key, until=row.until))
    row.until = key
    session.flush()
    return True


def has_open_ranges(session: Session, audit_id: UUID) -> bool:
    """Whether some keys are still to be compared."""
    part = models.AuditRange
    return session.scalar(select(part.id).where(part.audit_id == audit_id, ~part.is_done).limit(1)) is not None
