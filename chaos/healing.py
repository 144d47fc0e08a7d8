"""``python -m chaos.healing clock MINUTE …``, ``… repair BUCKET …``, ``… audit BUCKET …``: what makes all well afterwards.

It is a process of its own, because the application's settings and connections are those of a process.
"""

import json
import sys
from dataclasses import asdict
from datetime import timedelta

from chalicelib import runtime
from chalicelib.catalog.audits import AuditRequest
from chalicelib.services.truth.auditing import audit
from chalicelib.triggers import schedules
from dev.event_source import Context


def audit_all(buckets: list[str], *, repairs: bool) -> None:
    """Audit buckets; prints a line of JSON for each."""
    for bucket in buckets:
        request = AuditRequest(bucket, repairs=repairs, brake=1, grace=timedelta())
        print(json.dumps(asdict(audit(runtime.context(), request)), default=str))


def run_clock(minutes: list[float]) -> None:
    """What the schedule does at so many minutes from now."""
    now = runtime.now
    for minute in minutes:
        ahead = timedelta(minutes=minute)
        runtime.now = lambda ahead=ahead: now() + ahead  # type: ignore[misc]
        for function in (schedules.inspect_pending, schedules.work):
            print(f"{function.__name__} at minute {minute:g}: {function({}, Context(function.__name__, 600))}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["clock", *minutes]:
            run_clock([float(minute) for minute in minutes])
        case [("repair" | "audit") as what, *buckets]:
            audit_all(buckets, repairs=what == "repair")
        case _:
            sys.exit(__doc__)
