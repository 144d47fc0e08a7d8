"""What runs by the clock: inspecting what is left, giving up abandoned uploads, making next month's partitions."""

from dataclasses import asdict
from typing import Any

from chalicelib import runtime, telemetry
from chalicelib.db.search import index_files
from chalicelib.services.enforcement import judge_uploads
from chalicelib.services.inspection import inspect_due
from chalicelib.services.job_steps import run_job
from chalicelib.services.jobs import due_jobs
from chalicelib.services.maintenance import make_partitions
from chalicelib.services.reaping import reap_uploads
from chalicelib.services.trash import delete_expired, purge_old

_BATCH = 200
_MOST_BATCHES = 20
_INDEXED_AT_ONCE = 2000
_MOST_UPLOADS = 200
_MOST_FILES = 500
_MOST_JOBS = 50
# A job gives way to the next after so long, and none is begun when less is left than its longest step may take.
_JOB_SECONDS = 120.0
_SPARE_SECONDS = 240.0


def inspect_pending(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Index what is left for search, and inspect versions that are due, until none is left or 4,000 are done.

    Returns:
        ``{"inspected": count}``.
    """
    for _ in range(_MOST_BATCHES):
        if index_some(_INDEXED_AT_ONCE) < _INDEXED_AT_ONCE:
            break
    inspected = 0
    for _ in range(_MOST_BATCHES):
        done = inspect_some(_BATCH)
        inspected += done
        if done < _BATCH:
            break
    return {"inspected": inspected}


def work(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Go on with jobs, judge the uploads that have come, give up those that nobody finished, and clear old trash.

    Returns:
        How many ``jobs`` were worked on, uploads ``refused``, files ``expired`` and ``purged``, and how many uploads came to
        which other end: see `Reaped`.
    """
    store, options, now = runtime.store(), runtime.settings(), runtime.now()
    refused = judge_uploads(runtime.transaction, store, options, now, _MOST_UPLOADS)
    for file_id, reason in refused:
        telemetry.log("warning", "upload refused", file_id=file_id, reason=reason)
    reaped = asdict(reap_uploads(runtime.transaction, store, options, now, _MOST_UPLOADS))
    if any(reaped.values()):
        telemetry.log("info", "uploads whose time was up", **reaped)
    expired = delete_expired(runtime.transaction, store, now, _MOST_FILES)
    purged = purge_old(runtime.transaction, store, options, now, _MOST_FILES)
    # The jobs come last: they take what time is left.
    return {"refused": len(refused), **reaped, "expired": expired, "purged": purged, "jobs": _run_jobs(context)}


def _run_jobs(context: Any) -> int:
    """Jobs in turn, until all have been worked on or the time is up."""
    remaining = getattr(context, "get_remaining_time_in_millis", lambda: 600_000)
    with runtime.transaction() as session:
        due = due_jobs(session, runtime.now(), _MOST_JOBS)
    for count, job_id in enumerate(due):
        seconds = remaining() / 1000 - _SPARE_SECONDS
        if seconds <= 0:
            return count
        run_job(
            runtime.transaction, runtime.store(), runtime.settings(), runtime.now, job_id, min(seconds, _JOB_SECONDS)
        )
    return len(due)


def maintain(event: dict[str, Any], context: Any) -> dict[str, list[str]]:
    """Make the event table's partitions of the coming months. Returns ``{"partitions": names made}``."""
    with runtime.transaction() as session:
        return {"partitions": make_partitions(session, runtime.now())}


def index_some(most: int) -> int:
    """Index up to ``most`` files for search and say how many were; a failure is logged, never raised."""
    try:
        with runtime.transaction() as session:
            return index_files(session, most)
    except Exception as error:  # noqa: BLE001 - indexing never fails what it follows
        telemetry.log("error", "indexing failed", error=error)
        return 0


def inspect_some(most: int, newest_first: bool = False) -> int:
    """Inspect up to ``most`` versions that are due and say how many were; a failure is logged, never raised."""
    try:
        keep_place = runtime.settings().keep_place
        findings = inspect_due(runtime.transaction, runtime.store(), runtime.now, most, newest_first, keep_place)
    except Exception as error:  # noqa: BLE001 - inspection never fails what it follows
        telemetry.log("error", "inspection failed", error=error)
        return 0
    for finding in findings:
        if finding.retry_at is not None:
            claim = finding.claim
            telemetry.log(
                "warning", "inspection will be retried", bucket=claim.bucket, key=claim.key, tries=claim.tries
            )
    return len(findings)
