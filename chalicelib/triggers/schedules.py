"""What runs by the clock: inspecting what is left, giving up abandoned uploads, making next month's partitions."""

from dataclasses import asdict
from typing import Any

from chalicelib import runtime, telemetry
from chalicelib.services.enforcement import judge_uploads
from chalicelib.services.inspection import inspect_due
from chalicelib.services.maintenance import make_partitions
from chalicelib.services.reaping import reap_uploads

_BATCH = 200
_MOST_BATCHES = 20
_MOST_UPLOADS = 200


def inspect_pending(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Inspect versions that are due, until none is left or 4,000 are done. Returns ``{"inspected": count}``."""
    inspected = 0
    for _ in range(_MOST_BATCHES):
        done = inspect_some(_BATCH)
        inspected += done
        if done < _BATCH:
            break
    return {"inspected": inspected}


def work(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Judge the uploads that have come, and give up those that nobody finished.

    Returns:
        How many uploads were ``refused``, and how many came to which other end: see `Reaped`.
    """
    store, options, now = runtime.store(), runtime.settings(), runtime.now()
    refused = judge_uploads(runtime.transaction, store, options, now, _MOST_UPLOADS)
    for file_id, reason in refused:
        telemetry.log("warning", "upload refused", file_id=file_id, reason=reason)
    reaped = asdict(reap_uploads(runtime.transaction, store, options, now, _MOST_UPLOADS))
    if any(reaped.values()):
        telemetry.log("info", "uploads whose time was up", **reaped)
    return {"refused": len(refused), **reaped}


def maintain(event: dict[str, Any], context: Any) -> dict[str, list[str]]:
    """Make the event table's partitions of the coming months. Returns ``{"partitions": names made}``."""
    with runtime.transaction() as session:
        return {"partitions": make_partitions(session, runtime.now())}


def inspect_some(most: int, newest_first: bool = False) -> int:
    """Inspect up to ``most`` versions that are due and say how many were; a failure is logged, never raised."""
    try:
        findings = inspect_due(runtime.transaction, runtime.store(), runtime.now, most, newest_first)
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
