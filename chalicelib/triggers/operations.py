"""What an operator or a deployment starts inside the cloud, where the database can be reached."""

from dataclasses import asdict
from typing import Any

from chalicelib import runtime, telemetry
from chalicelib.catalog.audits import AuditRequest
from chalicelib.db.backlog import count_backlog
from chalicelib.db.files import find_state
from chalicelib.db.migrate import SchemaStatus
from chalicelib.errors import InvalidInput
from chalicelib.services.ingest.inspection import inspect_all_again
from chalicelib.services.truth.auditing import begin_audit
from chalicelib.services.truth.buckets import adopt_bucket
from chalicelib.services.upkeep import schema


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
            {"action": "adopt", "bucket": ...}   # take in a bucket that was there before, and whose events come already

    Returns:
        ``{"database": revision or None, "code": revision, "state": "current" | "behind" | "ahead"}``; after ``roles``:
        ``{"roles": "ready"}``; after ``find``: ``{"state": ..., "etag": ...}``, both None if there is no such file; after
        ``backlog``: the counts of `chalicelib.db.backlog.Backlog`; after ``inspect``: ``{"requested": versions}``;
        after ``adopt``: ``{"audit": id}``, of the repair that `work` goes on with.

    Raises:
        InvalidInput: no such action.
        SchemaMismatch, Conflict: see `chalicelib.services.upkeep.schema.migrate`. Nothing was changed then.
    """
    action = event.get("action")
    if action == "status":
        return _as_json(schema.status(runtime.engine()))
    if action == "upgrade":
        wants_demo = runtime.settings().identity == "demo"
        reached = schema.migrate(runtime.engine(), event.get("expected"), with_demo_user=wants_demo)
        telemetry.log("info", "schema is current", revision=reached.database)
        return _as_json(reached)
    if action == "roles":
        return _make_roles(str(event.get("user", "")), str(event.get("password", "")))
    if action == "find":
        return _find(str(event.get("bucket", "")), str(event.get("key", "")))
    if action == "backlog":
        with runtime.transaction() as session:
            return asdict(count_backlog(session, runtime.now()))
    if action == "inspect":
        return {"requested": inspect_all_again(runtime.context())}
    if action == "adopt":
        return _adopt(str(event.get("bucket", "")))
    raise InvalidInput(f"The action {action!r} is none of status, upgrade, roles, find, backlog, inspect, adopt.")


def _make_roles(user: str, password: str) -> dict[str, Any]:
    engine = runtime.engine_of(user, password)
    try:
        schema.make_roles(engine)
    finally:
        engine.dispose()
    telemetry.log("info", "database roles are ready")
    return {"roles": "ready"}


def _adopt(bucket: str) -> dict[str, Any]:
    if not bucket:
        raise InvalidInput("Say which bucket to adopt.")
    with runtime.context().transaction() as tx:
        adopt_bucket(tx, bucket)
        # All that the catalogue knew of it, if anything, may be gone.
        audit_id = begin_audit(tx, AuditRequest(bucket, repairs=True, brake=1))
    telemetry.log("info", "bucket adopted", bucket=bucket, audit=audit_id)
    return {"audit": str(audit_id)}


def _find(bucket: str, key: str) -> dict[str, Any]:
    with runtime.transaction() as session:
        state, etag = find_state(session, bucket, key)
    return {"state": state, "etag": etag}


def _as_json(status: SchemaStatus) -> dict[str, Any]:
    return {"database": status.database, "code": status.code, "state": status.state}
