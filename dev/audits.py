"""``make audit`` and ``make repair``: compare the running stack's bucket with its catalogue, in several processes."""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

from dev.configuration import Configuration
from dev.problem import StackProblem, describe

_WORKERS = os.cpu_count() or 1
_HELP_AFTER = 3.0  # seconds: what is done by then needs no further processes
_SHOWN = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--repair", action="store_true", help="record what differs")
    parser.add_argument("--bucket", default="", help="the stack's own if left out")
    parser.add_argument("--prefix", default="", help="only keys that begin so")
    parser.add_argument(
        "--brake", type=float, default=None, help="largest share that may be recorded as gone; 0.05 if left out"
    )
    parser.add_argument("--grace", type=float, default=None, help="seconds that notifications may take; 60 if left out")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and no progress")
    parser.add_argument("--join", type=UUID, help=argparse.SUPPRESS)  # a further worker of an audit


def run(options: argparse.Namespace) -> int:
    """Audit, show how far it is, and report; returns 1 if something differs and was not put right."""
    configuration = Configuration.of_running()
    os.environ.update(configuration.child_environment(os.environ.get("LANDFALL_QUEUE_URL", "")))
    # Only now: these read the environment.
    from chalicelib import runtime
    from chalicelib.catalog.audits import BRAKE, GRACE, AuditRequest
    from chalicelib.services.truth.auditing import begin_audit, get_audit, work_on_audit

    ctx = runtime.context()
    if options.join:
        work_on_audit(ctx, options.join)
        return 0
    brake = BRAKE if options.brake is None else options.brake
    grace = GRACE if options.grace is None else timedelta(seconds=options.grace)
    if not 0 <= brake <= 1 or grace < timedelta():
        raise StackProblem("BRAKE is a share from 0 to 1, and GRACE a number of seconds.")
    request = AuditRequest(options.bucket or configuration.bucket, options.prefix, options.repair, brake, grace)
    with ctx.transaction() as tx:
        audit_id = begin_audit(tx, request)
    failure: list[Exception] = []

    def work() -> None:
        try:
            work_on_audit(ctx, audit_id)
        except Exception as error:  # noqa: BLE001 - it is told below
            failure.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    began, helpers = time.monotonic(), list[subprocess.Popen[bytes]]()
    try:
        while worker.is_alive():
            worker.join(0.5)
            if not helpers and time.monotonic() - began > _HELP_AFTER:
                helpers = [_join(audit_id) for _ in range(_WORKERS - 1)]
            if not options.json and sys.stderr.isatty():
                with ctx.transaction() as tx:
                    _show(get_audit(tx, audit_id), time.monotonic() - began)
    finally:
        for helper in helpers:
            helper.terminate()
    with ctx.transaction() as tx:
        audit = get_audit(tx, audit_id)
    if failure:
        raise StackProblem(f"The audit stopped, and can be begun anew: {describe(failure[0])}")
    print(
        json.dumps(asdict(audit), default=str, indent=2) if options.json else _report(audit, time.monotonic() - began)
    )
    return 0 if audit.state == "done" and (audit.repairs or not audit.drift) else 1


def _join(audit_id: UUID) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "dev", "audit", "--join", str(audit_id)])


def _show(audit: Any, seconds: float) -> None:
    """One line that is written over again. How many versions there are is known only at the end."""
    rate = audit.compared / seconds if seconds else 0
    state = {"listing": "comparing", "settling": f"{audit.unsure + audit.gone:,} to look at again"}.get(
        audit.state, audit.state
    )
    print(
        f"\r\033[K{audit.compared:,} compared, {rate:,.0f}/s, {audit.drift:,} differ; {state}",
        end="",
        file=sys.stderr,
        flush=True,
    )


def _report(audit: Any, seconds: float) -> str:
    where = f"{audit.bucket}/{audit.prefix}" if audit.prefix else audit.bucket
    lines = [
        f"{where}: {audit.compared:,} versions compared in {seconds:.1f} s; {audit.state}.",
        f"  missing   {audit.missing:>12,}  in the bucket alone",
        f"  different {audit.different:>12,}  the catalogue has them otherwise",
        f"  gone      {audit.gone:>12,}  in the catalogue alone",
    ]
    if audit.repairs:
        lines.append(f"  recorded  {audit.recorded:>12,}  changes that put this right")
    if audit.problem:
        lines.append(f"  {audit.problem}")
    for kind in ("missing", "different", "gone"):
        some = [one for one in audit.examples if one.kind == kind][:_SHOWN]
        lines += [f"  {kind}: {one.key!r} {one.version_id}".rstrip() for one in some]
    return "\n".join(lines)
