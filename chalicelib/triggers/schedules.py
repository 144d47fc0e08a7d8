"""What runs by the clock: indexing and inspecting what is left, jobs, uploads, the trash, audits, and new partitions."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from chalicelib import runtime, telemetry
from chalicelib.services.accounts.rates import forget_rates
from chalicelib.services.accounts.trail import forget_old_acts
from chalicelib.services.context import Context
from chalicelib.services.ingest.dead_events import count_dead_events
from chalicelib.services.jobs.kinds import run_job
from chalicelib.services.jobs.queue import find_due_jobs
from chalicelib.services.removal.trash import delete_expired, forget_restores, purge_old
from chalicelib.services.truth.auditing import work_on_audits
from chalicelib.services.truth.scheduling import begin_due_audits, forget_old_audits, known_truth
from chalicelib.services.upkeep.judging import judge_uploads
from chalicelib.services.upkeep.measuring import measure_unfinished
from chalicelib.services.upkeep.partitions import make_partitions
from chalicelib.services.upkeep.reaping import reap_uploads
from chalicelib.services.upkeep.usage import add_up_usage
from chalicelib.triggers.following import index_some, inspect_some

_BATCH = 200
_MAX_BATCHES = 20
_INDEXED_AT_ONCE = 2000
_MAX_UPLOADS = 200
_MAX_JUDGED = 2000  # or as many as there is time for: see `Context.for_a_while`
_MAX_FILES = 500
_MAX_JOBS = 50
# A job gives way to the next one after `_JOB_SECONDS`. None is begun if less time is left than its longest step may
# take.
_JOB_SECONDS = 120.0
_SPARE_SECONDS = 240.0
_AUDIT_SECONDS = 45.0
_RUNS_PER_HOUR = 60


def inspect_pending(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Index what is left for search, and inspect versions that are due, until none is left or 4,000 are done.

    Returns:
        ``{"inspected": count}``.
    """
    for _ in range(_MAX_BATCHES):
        if index_some(_INDEXED_AT_ONCE) < _INDEXED_AT_ONCE:
            break
    inspected = 0
    for _ in range(_MAX_BATCHES):
        done = inspect_some(_BATCH)
        inspected += done
        if done < _BATCH:
            break
    return {"inspected": inspected}


def work(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Go on with jobs, judge the uploads that have come, give up those that nobody finished, and clear old trash.

    Returns:
        How many ``jobs`` were worked on, uploads ``refused``, ``aborted`` (too large while they went on) and ``reaped`` (looked
        at because their time was up), files ``expired`` and ``purged``, dead ``restores`` whose reservation was freed,
        changes of ``usage`` that were added up, and ``audits`` that were open, those included whose time had come.

    Raises:
        WorkFailed: a task failed. The others were done all the same.
    """
    ctx = runtime.context()
    counts = {
        "refused": _carefully(lambda: _judge_uploads(ctx)),
        "aborted": _carefully(lambda: _measure_uploads(ctx)),
        "reaped": _carefully(lambda: _reap_uploads(ctx)),
        "expired": _carefully(lambda: delete_expired(ctx, _MAX_FILES)),
        "restores": _carefully(lambda: forget_restores(ctx)),
        "purged": _carefully(lambda: purge_old(ctx, _MAX_FILES)),
        "usage": _carefully(lambda: add_up_usage(ctx)),
        "audits": _carefully(lambda: _audit(ctx)),
        # The jobs come last: they take what time is left.
        "jobs": _carefully(lambda: _run_jobs(ctx, context)),
    }
    if -1 in counts.values():
        raise WorkFailed(f"Not all could be done: {counts}")  # the others were; the alarm counts failed runs
    return counts


class WorkFailed(Exception):
    """One of the tasks of `work` failed for a reason that nobody has foreseen; the log has it."""


def _carefully(task: Callable[[], int]) -> int:
    """Run a task and return its count; if it fails, log why and return -1, so that the next task runs all the same."""
    try:
        return task()
    except Exception as error:  # noqa: BLE001 - see above
        telemetry.log("error", "work failed", error=error)
        return -1


def _judge_uploads(ctx: Context) -> int:
    refused = judge_uploads(ctx, _MAX_JUDGED)
    for file_id, reason in refused:
        telemetry.log("warning", "upload refused", file_id=file_id, reason=reason)
    return len(refused)


def _measure_uploads(ctx: Context) -> int:
    aborted = measure_unfinished(ctx, _MAX_JUDGED)
    for file_id, reason in aborted:
        telemetry.log("warning", "upload aborted", file_id=file_id, reason=reason)
    return len(aborted)


def _reap_uploads(ctx: Context) -> int:
    reaped = asdict(reap_uploads(ctx, _MAX_UPLOADS))
    if any(reaped.values()):
        telemetry.log("info", "uploads whose time was up", **reaped)
    return sum(reaped.values())


def _audit(ctx: Context) -> int:
    begin_due_audits(ctx)
    try:
        return work_on_audits(ctx, _AUDIT_SECONDS, ctx.settings.audit_requests / _RUNS_PER_HOUR)
    finally:
        _report_truth(ctx)


def _report_truth(ctx: Context) -> None:
    """Write how well each bucket is known, and how many events are dead. A bucket that has never agreed is as old as its first
    audit."""
    for known in known_truth(ctx):
        of = {"Bucket": known.bucket}
        if since := known.agreed_at or known.known_since:
            telemetry.metric({"TruthAge": (ctx.now - since).total_seconds()}, of, unit="Seconds")
        counts = {"Drift": known.drift_within_hour, "Doubts": known.unsure, "Braked": int(known.is_braked)}
        telemetry.metric(counts, of)
    telemetry.metric({"DeadEvents": count_dead_events(ctx)}, {"Bucket": ctx.settings.bucket})


def _run_jobs(ctx: Context, context: Any) -> int:
    """Work on due jobs in turn, until all have had their turn or the time is up."""
    remaining = getattr(context, "get_remaining_time_in_millis", lambda: 600_000)
    with ctx.transaction() as tx:
        due = find_due_jobs(tx, _MAX_JOBS)
    for count, job_id in enumerate(due):
        seconds = remaining() / 1000 - _SPARE_SECONDS
        if seconds <= 0:
            return count
        run_job(ctx, job_id, min(seconds, _JOB_SECONDS))
    return len(due)


def maintain(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Make the event table's partitions of the coming months, and forget old audits, acts and what was used of rates.

    Returns:
        ``{"partitions": names made, "audits": number, "acts": number, "rates": number}``, the numbers of those forgotten.
    """
    ctx = runtime.context()
    return {
        "partitions": make_partitions(ctx),
        "audits": forget_old_audits(ctx),
        "acts": forget_old_acts(ctx),
        "rates": forget_rates(ctx),
    }
