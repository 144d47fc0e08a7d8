"""What follows recording, right after it and by the clock: indexing and inspecting. If they fail, recording still counts."""

from chalicelib import runtime, telemetry
from chalicelib.services.ingest import indexing
from chalicelib.services.ingest.inspection import inspect_due


def index_some(limit: int) -> int:
    """Index up to ``limit`` files for search and say how many were; a failure is logged, never raised."""
    try:
        return indexing.index_some(runtime.context(), limit)
    except Exception as error:  # noqa: BLE001 - see above
        telemetry.log("error", "indexing failed", error=error)
        return 0


def inspect_some(limit: int, newest_first: bool = False) -> int:
    """Inspect up to ``limit`` versions that are due and say how many were; a failure is logged, never raised."""
    try:
        findings = inspect_due(runtime.context(), limit, newest_first)
    except Exception as error:  # noqa: BLE001 - see above
        telemetry.log("error", "inspection failed", error=error)
        return 0
    for finding in findings:
        if finding.retry_at is not None:
            claim = finding.claim
            telemetry.log(
                "warning", "inspection will be retried", bucket=claim.bucket, key=claim.key, tries=claim.tries
            )
    return len(findings)
