"""The steps of an audit that a state machine runs in many functions at once: see ``infra/audits.yaml``."""

from typing import Any
from uuid import UUID

from chalicelib import runtime, telemetry
from chalicelib.catalog.audits import BRAKE, AuditRequest
from chalicelib.errors import InvalidInput
from chalicelib.services.truth.allowances import Allowance
from chalicelib.services.truth.auditing import begin_audit, get_audit, work_on_audit
from chalicelib.services.truth.buckets import unrecorded_among

# A worker ends so long before its function does: a page, or some keys that are looked at again, may take that long.
_SPARE_SECONDS = 120.0
_MOST_WORKERS = 1000


def audit(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Take a step of an audit.

    Args:
        event: one of::

            {"action": "begin", "wish": {"bucket", "prefix", "repairs", "brake", "workers"}}   # each may be left out
            {"action": "work", "audit": id}   # be one of its workers, as long as the function may
            {"action": "end", "audit": id}

    Returns:
        After ``begin``: ``{"audit": id, "workers": [0, 1, ...]}``; after ``work``: ``{"audit": id, "is_done": ...}``; after
        ``end``: the audit's state and counts.

    Raises:
        InvalidInput: no such action, or a wish that makes no sense. StoreUnavailable: the bucket can't be read.
    """
    action = event.get("action")
    if action == "begin":
        return _begin(dict(event.get("wish") or {}))
    audit_id = UUID(str(event.get("audit")))
    if action == "work":
        remaining = getattr(context, "get_remaining_time_in_millis", lambda: 600_000)
        seconds = max(1.0, remaining() / 1000 - _SPARE_SECONDS)
        return {"audit": str(audit_id), "is_done": work_on_audit(runtime.context(), audit_id, Allowance(seconds))}
    if action == "end":
        return _end(audit_id)
    raise InvalidInput(f"The action {action!r} is none of begin, work, end.")


def _begin(wish: dict[str, Any]) -> dict[str, Any]:
    ctx = runtime.context()
    if unknown := wish.keys() - {"bucket", "prefix", "repairs", "brake", "workers"}:
        raise InvalidInput(f"An audit knows nothing of {', '.join(sorted(unknown))}.")
    bucket, brake, workers = (
        wish.get("bucket") or ctx.settings.bucket,
        wish.get("brake", BRAKE),
        wish.get("workers", 10),
    )
    if not isinstance(brake, int | float) or not 0 <= brake <= 1:
        raise InvalidInput("`brake` is a share from 0 to 1.")
    if not isinstance(workers, int) or not 1 <= workers <= _MOST_WORKERS:
        raise InvalidInput(f"`workers` is a number from 1 to {_MOST_WORKERS}.")
    if unrecorded_among(ctx, [bucket]):
        raise InvalidInput(
            f"The catalogue doesn't record the bucket {bucket!r}: `python -m deploy adopt` takes one in."
        )
    request = AuditRequest(bucket, str(wish.get("prefix", "")), wish.get("repairs") is True, float(brake))
    with ctx.transaction() as tx:
        audit_id = begin_audit(tx, request)
    telemetry.log("info", "audit begun", audit=audit_id, bucket=bucket, workers=workers)
    return {"audit": str(audit_id), "workers": list(range(workers))}


def _end(audit_id: UUID) -> dict[str, Any]:
    with runtime.context().transaction() as tx:
        found = get_audit(tx, audit_id)
    counts = {name: getattr(found, name) for name in ("compared", "missing", "different", "gone", "recorded")}
    return {"audit": str(audit_id), "state": found.state, "problem": found.problem, **counts}
