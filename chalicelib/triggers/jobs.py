"""Jobs that a request rings for, because its own role may not do them."""

from typing import Any

from chalicelib import runtime, telemetry
from chalicelib.catalog.bells import rung_for
from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.notifications import parse_message
from chalicelib.errors import MalformedNotification
from chalicelib.services.jobs.kinds import run_job

# How long a job is worked on here: a little longer than a request waits for it. The clock does the rest: else a few
# large jobs would hold all places, and everybody else's would wait.
_TURN_SECONDS = 10.0


def run_jobs(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Do the jobs that were rung for, each for ten seconds at most. The clock does what is left.

    Args:
        event: what Lambda's event source mapping hands over: ``{"Records": [{"messageId", "body", ...}]}``, with notifications
            of objects as `chalicelib.catalog.bells` names them.

    Returns:
        ``{"batchItemFailures": []}``: a bell that can't be read is logged, and does not come again.

    Raises:
        DatabaseUnavailable: the messages come again.
    """
    for record in event.get("Records") or []:
        try:
            rung = parse_message(record.get("body", ""))
        except MalformedNotification as error:
            telemetry.log("error", "bell not understood", message_id=record.get("messageId"), error=error)
            continue
        for one in rung:
            if isinstance(one, ObjectChange) and (job_id := rung_for(one.key)) is not None:
                run_job(runtime.context(), job_id, _TURN_SECONDS)
    return {"batchItemFailures": []}
