"""What an operator or a deployment starts inside the cloud, where the database can be reached."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from chalicelib import runtime, telemetry
from chalicelib.catalog.audits import AuditRequest
from chalicelib.catalog.dead_events import Selection
from chalicelib.db.backlog import count_backlog
from chalicelib.db.files import find_state
from chalicelib.db.migrate import SchemaStatus
from chalicelib.errors import InvalidInput
from chalicelib.services.accounts.users import change_user
from chalicelib.services.ingest import dead_events
from chalicelib.services.ingest.inspection import inspect_all_again
from chalicelib.services.truth.auditing import begin_audit
from chalicelib.services.truth.buckets import adopt_bucket
from chalicelib.services.upkeep import schema

# A function answers with 6 MB at most, and JSON may need two bytes for one.
_MOST_BYTES = 2_500_000


def migrate(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Look after the database: its schema, its roles, and what waits in it.

    Args:
        event: one of::

            {"action": "status"}
            {"action": "upgrade", "expected": revision}     # `expected` may be left out
            {"action": "roles", "user": ..., "password": ...}   # of the database's master user; never logged
            {"action": "find", "bucket": ..., "key": ...}   # has a file landed? a deployment tests itself with this
            {"action": "backlog"}   # what waits, and what has failed
            {"action": "inspect"}   # inspect again what inspection has given up
            {"action": "dead", "do": "list" | "redrive" | "discard", "selection": {...}}   # dead events, as their routes
            {"action": "operator", "user": id}   # make somebody who has signed in an operator: a stage begins with none
            {"action": "adopt", "bucket": ...}   # take in a bucket that was there before, and whose events come already

    Returns:
        ``{"database": revision or None, "code": revision, "state": "current" | "behind" | "ahead"}``; after ``roles``:
        ``{"roles": "ready"}``; after ``find``: ``{"state": ..., "etag": ...}``, both None if there is no such file; after
        ``backlog``: the counts of `chalicelib.db.backlog.Backlog`; after ``inspect``: ``{"requested": versions}``;
        after ``dead``: ``{"events": [...]}``, as many as fit, what was redriven, or ``{"discarded": events}``;
        after ``operator``: ``{"name": ...}``; after ``adopt``: ``{"audit": id}``, of the repair that `work` goes on with.

    Raises:
        InvalidInput: no such action. NotFound: no such user.
        SchemaMismatch, Conflict: see `chalicelib.services.upkeep.schema.migrate`. Migrations before the one that failed stay.
    """
    action = event.get("action")
    run = _ACTIONS.get(str(action))
    if run is None:
        raise InvalidInput(f"The action {action!r} is none of {', '.join(_ACTIONS)}.")
    return run(event)


def _status(event: dict[str, Any]) -> dict[str, Any]:
    return _as_json(schema.status(runtime.engine())) | {"has_member_role": schema.has_member_role(runtime.engine())}


def _upgrade(event: dict[str, Any]) -> dict[str, Any]:
    wants_demo = runtime.settings().identity == "demo"
    reached = schema.migrate(runtime.engine(), event.get("expected"), with_demo_user=wants_demo)
    telemetry.log("info", "schema is current", revision=reached.database)
    return _as_json(reached)


def _backlog(event: dict[str, Any]) -> dict[str, Any]:
    with runtime.transaction() as session:
        return asdict(count_backlog(session, runtime.now()))


def _inspect(event: dict[str, Any]) -> dict[str, Any]:
    return {"requested": inspect_all_again(runtime.context())}


def _make_roles(event: dict[str, Any]) -> dict[str, Any]:
    engine = runtime.engine_of(str(event.get("user", "")), str(event.get("password", "")))
    try:
        schema.make_roles(engine)
    finally:
        engine.dispose()
    telemetry.log("info", "database roles are ready")
    return {"roles": "ready"}


def _make_operator(event: dict[str, Any]) -> dict[str, Any]:
    with runtime.context().transaction() as tx:
        user = change_user(tx, UUID(str(event.get("user"))), {"role": "operator"})
    telemetry.log("warning", "operator made", user_id=user.id)
    return {"name": user.name}


def _adopt(event: dict[str, Any]) -> dict[str, Any]:
    bucket = str(event.get("bucket", ""))
    if not bucket:
        raise InvalidInput("Say which bucket to adopt.")
    with runtime.context().transaction() as tx:
        adopt_bucket(tx, bucket)
        # All that the catalogue knew of it, if anything, may be gone.
        audit_id = begin_audit(tx, AuditRequest(bucket, repairs=True, brake=1))
    telemetry.log("info", "bucket adopted", bucket=bucket, audit=audit_id)
    return {"audit": str(audit_id)}


def _dead(event: dict[str, Any]) -> dict[str, Any]:
    ctx, what, selection = runtime.context(), event.get("do"), _selection(dict(event.get("selection", {})))
    if what == "redrive":
        return asdict(dead_events.redrive(ctx, selection))
    if what == "discard":
        with ctx.transaction() as tx:
            return {"discarded": dead_events.discard(tx, selection)}
    if what != "list":
        raise InvalidInput("What to do with dead events is none of list, redrive, discard.")
    events: list[dict[str, Any]] = []
    left = _MOST_BYTES
    for found in dead_events.find_dead_events(ctx, selection, int(event.get("limit", 1000))):
        left -= len(found.body)
        if left < 0 and events:
            break
        events.append(
            asdict(found)
            | {"id": str(found.id), "sent_at": found.sent_at.isoformat(), "tried_at": found.tried_at.isoformat()}
        )
    return {"events": events}


def _selection(values: dict[str, Any]) -> Selection:
    moments = {
        name: datetime.fromisoformat(values[name]) for name in ("sent_before", "tried_before") if values.get(name)
    }
    ids = tuple(UUID(one) for one in values.get("ids", ()))
    return Selection(ids, values.get("reason", ""), values.get("about", ""), **moments)


def _find(event: dict[str, Any]) -> dict[str, Any]:
    with runtime.transaction() as session:
        state, etag = find_state(session, str(event.get("bucket", "")), str(event.get("key", "")))
    return {"state": state, "etag": etag}


def _as_json(status: SchemaStatus) -> dict[str, Any]:
    return {"database": status.database, "code": status.code, "state": status.state}


_ACTIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "status": _status,
    "upgrade": _upgrade,
    "roles": _make_roles,
    "find": _find,
    "backlog": _backlog,
    "inspect": _inspect,
    "dead": _dead,
    "operator": _make_operator,
    "adopt": _adopt,
}
