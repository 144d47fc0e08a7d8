"""Everything that triggers Landfall: routes, queues, schedules and operations. Each delegates in one line."""

from collections.abc import Callable
from typing import Any

from chalice.app import Chalice, CloudWatchEvent, Rate, SQSEvent

from chalicelib import telemetry, triggers
from chalicelib.api.http import origins, refusals, workarounds
from chalicelib.api.routes import ROUTES
from chalicelib.preloading import preload
from chalicelib.settings import served_function, takes_snapshots

app = Chalice(app_name="landfall")
workarounds.relieve_local_server()
workarounds.watch_sources_only()
app.api.binary_types.append("multipart/form-data")

for route in ROUTES:
    app.route(route.path, methods=[route.method], **workarounds.JSON)(route.view)
refusals.complete_routes(app)
app.register_middleware(origins.name_origin, "http")
app.register_middleware(workarounds.speak_problems, "http")


@app.middleware("all")
def with_logs(event: Any, get_response: Callable[[Any], Any]) -> Any:
    """Configure the logs. It is done here and not at import, so that `chalice package` needs no environment."""
    from chalicelib import runtime  # saves 250 ms of a start: SQLAlchemy and the models

    telemetry.configure(runtime.settings().log_level)
    return get_response(event)


@app.on_sqs_message(queue="landfall-events", batch_size=1000, maximum_batching_window_in_seconds=1, name="ingest")
def ingest(event: SQSEvent) -> dict[str, Any]:
    """Record object notifications from the queue."""
    return triggers.ingest.handle(event.to_dict(), event.context)


@app.on_sqs_message(queue="landfall-events-dead", batch_size=10, name="bury")
def bury(event: SQSEvent) -> dict[str, Any]:
    """Try events that failed all their tries once more, and lay away those that fail again."""
    return triggers.ingest.bury(event.to_dict(), event.context)


@app.on_sqs_message(queue="landfall-jobs", batch_size=1, name="run_jobs")
def run_jobs(event: SQSEvent) -> dict[str, Any]:
    """Do the jobs that requests ring for, and may not do themselves: those that remove something permanently."""
    return triggers.jobs.run_jobs(event.to_dict(), event.context)


@app.lambda_function()
def ingest_direct(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Record object notifications from S3, SNS or EventBridge, which invoke this function themselves."""
    return triggers.ingest.handle_direct(event, context)


@app.schedule(Rate(1, unit=Rate.MINUTES))
def inspect_pending(event: CloudWatchEvent) -> dict[str, int]:
    """Index and inspect what was left over after recording."""
    return triggers.schedules.inspect_pending(event.to_dict(), event.context)


@app.schedule(Rate(1, unit=Rate.MINUTES))
def work(event: CloudWatchEvent) -> dict[str, int]:
    """Do what takes longer than a request, or is due by now: jobs, uploads to judge or give up, the trash."""
    return triggers.schedules.work(event.to_dict(), event.context)


@app.lambda_function()
def audit(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Take a step of an audit that a state machine runs in many functions at once."""
    return triggers.audits.audit(event, context)


@app.schedule(Rate(1, unit=Rate.DAYS))
def maintain(event: CloudWatchEvent) -> dict[str, Any]:
    """Make the event table's partitions of the coming months, and forget old audits."""
    return triggers.schedules.maintain(event.to_dict(), event.context)


@app.schedule(Rate(1, unit=Rate.HOURS))
def fetch_keys(event: CloudWatchEvent) -> dict[str, Any]:
    """Fetch the public keys of identity providers, for functions that can't ask the providers."""
    return triggers.keys.fetch_keys(event.to_dict(), event.context)


@app.lambda_function()
def migrate(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Look after the database's schema: see `chalicelib/triggers/operations.py`."""
    return triggers.operations.migrate(event, context)


# In Lambda, while the function starts; elsewhere this does nothing.
preload(served_function())
if takes_snapshots():
    from chalicelib import snapshots  # saves 250 ms of a start without one, as above

    snapshots.watch()
