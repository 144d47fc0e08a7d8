"""What waits, and what has failed: a few counts for the operator of a stage."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

# The schedules run at least hourly (infra/parameters/dev.json). What they have not done after two hours, they don't do.
_LATE = timedelta(hours=2)
_RECENT = timedelta(days=1)

_COUNTS = text("""
SELECT
    (SELECT count(*) FROM jobs WHERE state = 'failed' AND updated_at >= :recent) AS failed_jobs,
    (SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')) AS open_jobs,
    (SELECT count(*) FROM uploads AS u JOIN files AS f ON f.id = u.file_id AND f.state = 'pending'
        WHERE u.closed_at IS NULL) AS pending_uploads,
    (SELECT count(*) FROM uploads WHERE closed_at IS NULL AND expires_at < :late) AS overdue_uploads,
    (SELECT count(*) FROM object_versions WHERE inspect_problem IS NOT NULL AND inspect_after IS NULL AND alive)
        AS uninspected_versions,
    (SELECT count(*) FROM dead_events) AS dead_events
""")


@dataclass(frozen=True, slots=True)
class Backlog:
    """What `count_backlog` has counted.

    Attributes:
        failed_jobs: those of the last day.
        overdue_uploads: should have been given up more than two hours ago.
        uninspected_versions: their inspection was given up.
        dead_events: those that were laid away. More may be in their queue.
    """

    failed_jobs: int
    open_jobs: int
    pending_uploads: int
    overdue_uploads: int
    uninspected_versions: int
    dead_events: int


def count_backlog(session: Session, now: datetime) -> Backlog:
    """Count what waits and what has failed."""
    row = session.execute(_COUNTS, {"recent": now - _RECENT, "late": now - _LATE}).one()
    return Backlog(*row)
