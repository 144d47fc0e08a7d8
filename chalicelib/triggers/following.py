"""What follows recording, right after it and by the clock: indexing and inspecting. If they fail, recording still counts."""

from collections.abc import Callable, Iterable
from itertools import groupby

from chalicelib import runtime, telemetry
from chalicelib.catalog.changes import InspectionRequest
from chalicelib.catalog.objects import Location
from chalicelib.services.ingest import indexing
from chalicelib.services.ingest.inspection import inspect_due
from chalicelib.services.truth import healing


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
    _heal(Location(finding.claim.bucket, finding.claim.key) for finding in findings if finding.is_lost)
    return len(findings)


def heal_unknown(requests: Iterable[InspectionRequest]) -> None:
    """Ask S3 about versions that the catalogue doesn't know; a failure is logged, never raised."""
    _carefully(lambda: healing.heal_unknown(runtime.context(), requests))


def _heal(locations: Iterable[Location]) -> None:
    """Bucket by bucket: one that can't be read must not keep another from being healed."""
    for _, some in groupby(sorted(locations), key=lambda location: location.bucket):
        wanted = list(some)
        _carefully(lambda wanted=wanted: healing.heal(runtime.context(), wanted))  # type: ignore[misc]


def _carefully(heal: Callable[[], int]) -> None:
    try:
        healed = heal()
    except Exception as error:  # noqa: BLE001 - the next audit heals it
        telemetry.log("error", "healing failed", error=error)
    else:
        if healed:
            telemetry.log("warning", "changes that no event had told of", changes=healed)
