"""``make audit``, ``make repair`` and ``make adopt``: compare a bucket with the running stack's catalogue."""

import argparse
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID

from dev.application import context_of
from dev.audit_report import Progress, report
from dev.configuration import Configuration
from dev.problem import StackProblem, describe

if TYPE_CHECKING:
    from chalicelib.catalog.audits import Audit, AuditRequest
    from chalicelib.catalog.inventories import Inventory
    from chalicelib.services.context import Context

_WORKERS = os.cpu_count() or 1
_HELP_AFTER = 3.0  # seconds: what is done by then needs no further processes

LOST = """
The bucket is all that is known of these files. If a catalogue had them before, this is lost with it, because only the API
knew it: owners, sessions, shares, and users with their quotas; names, metadata and tags that were set through the API; when
files were deleted, and by whom; the history of events; uploads that nobody has finished."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command ``audit``."""
    parser.add_argument("--repair", action="store_true", help="record what differs")
    parser.add_argument("--bucket", default="", help="the stack's own if left out")
    parser.add_argument("--prefix", default="", help="only keys that begin so")
    parser.add_argument(
        "--brake", type=float, default=None, help="largest share that may be recorded as gone; 0.05 if left out"
    )
    parser.add_argument("--grace", type=float, default=None, help="seconds that notifications may take; 60 if left out")
    parser.add_argument("--inventory", default="", help="compare with this S3 Inventory: s3://BUCKET/…/manifest.json")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and no progress")
    parser.add_argument("--join", type=UUID, help=argparse.SUPPRESS)  # a further worker of an audit


def add_adopt_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command ``adopt``."""
    parser.add_argument("bucket", help="a bucket that was there before")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and no progress")


def run(options: argparse.Namespace) -> int:
    """Audit, show how far it is, and report; returns 1 if something differs and was not put right."""
    configuration = Configuration.of_running()
    ctx = context_of(configuration)
    # Only now: these read the environment.
    from chalicelib.catalog.audits import BRAKE, GRACE, AuditRequest
    from chalicelib.services.truth.auditing import work_on_audit
    from dev.parquet import parquet_reader

    if options.join:
        work_on_audit(ctx, options.join, read_parquet=parquet_reader(configuration.logs))
        return 0
    brake = BRAKE if options.brake is None else options.brake
    grace = GRACE if options.grace is None else timedelta(seconds=options.grace)
    if not 0 <= brake <= 1 or grace < timedelta():
        raise StackProblem("BRAKE is a share from 0 to 1, and GRACE a number of seconds.")
    bucket = options.bucket or configuration.bucket
    inventory = _read_inventory(ctx, options.inventory, bucket) if options.inventory else None
    request = AuditRequest(bucket, options.prefix, options.repair, brake, grace, inventory)
    audit = _audit(ctx, request, as_json=options.json)
    return 0 if audit.state == "done" and audit.problem is None and (audit.repairs or not audit.drift) else 1


def adopt(options: argparse.Namespace) -> int:
    """Take a bucket in: have its events recorded, then record all that it holds. Doing it again only repairs.

    Raises:
        StackProblem: no stack runs, there is no such bucket, or others get its events.
    """
    if not options.bucket:
        raise StackProblem("Say which bucket: make adopt BUCKET=...")
    configuration = Configuration.of_running()
    ctx = context_of(configuration)
    from chalicelib.catalog.audits import AuditRequest
    from chalicelib.services.truth.buckets import adopt_bucket, knows_files_of
    from dev.subscriptions import subscribe_locally

    with ctx.transaction() as tx:
        is_known = knows_files_of(tx, options.bucket)
    if options.bucket != configuration.bucket:
        subscribe_locally(configuration, options.bucket)
        # Events that come before this are dropped. What they tell of is found below.
        with ctx.transaction() as tx:
            adopt_bucket(tx, options.bucket)
    request = AuditRequest(options.bucket, repairs=True, brake=1, grace=timedelta())
    audit = _audit(ctx, request, as_json=options.json)
    if not options.json and not is_known and audit.compared:
        print(LOST)
    return 0 if audit.state == "done" and audit.problem is None else 1


def _read_inventory(ctx: "Context", url: str, bucket: str) -> "Inventory":
    from chalicelib.errors import InvalidInventory, StoreUnavailable
    from chalicelib.services.truth.loading import read_inventory

    parts = urlsplit(url, allow_fragments=False)
    if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/"):
        raise StackProblem("INVENTORY is the address of a manifest: s3://BUCKET/…/manifest.json")
    try:
        return read_inventory(ctx, parts.netloc, url.removeprefix(f"s3://{parts.netloc}/"), bucket)
    except (InvalidInventory, StoreUnavailable) as error:
        raise StackProblem(str(error)) from error


def _audit(ctx: "Context", request: "AuditRequest", *, as_json: bool) -> "Audit":
    """Audit in this process, and in others if it takes long; prints how far it is, and the report."""
    from chalicelib.services.truth.auditing import begin_audit, expected_versions, get_audit, work_on_audit
    from dev.parquet import parquet_reader

    with ctx.transaction() as tx:
        audit_id = begin_audit(tx, request)
        expected = expected_versions(tx, request)
    read_parquet = parquet_reader(Configuration.of_running().logs)
    failure: list[Exception] = []

    def work() -> None:
        try:
            work_on_audit(ctx, audit_id, read_parquet=read_parquet)
        except Exception as error:  # noqa: BLE001 - it is told below
            failure.append(error)

    progress = Progress(expected, is_shown=not as_json and sys.stderr.isatty())
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    with _helpers(audit_id, worker):
        while worker.is_alive():
            worker.join(0.5)
            with ctx.transaction() as tx:
                progress.show(get_audit(tx, audit_id))
    with ctx.transaction() as tx:
        audit = get_audit(tx, audit_id)
    progress.end()
    if failure:
        raise StackProblem(f"The audit stopped, and can be begun anew: {describe(failure[0])}")
    if audit.state == "failed" and not as_json:
        raise StackProblem(audit.problem or "The inventory can't be read.")
    print(json.dumps(asdict(audit), default=str, indent=2) if as_json else report(audit, progress.seconds))
    return audit


@contextmanager
def _helpers(audit_id: UUID, worker: threading.Thread) -> Iterator[None]:
    """Further workers, in processes of their own, from a few seconds on until the block ends."""
    helpers: list[subprocess.Popen[bytes]] = []

    def begin() -> None:
        worker.join(_HELP_AFTER)
        if worker.is_alive():
            command = [sys.executable, "-m", "dev", "audit", "--join", str(audit_id)]
            helpers.extend(subprocess.Popen(command) for _ in range(_WORKERS - 1))

    beginner = threading.Thread(target=begin, daemon=True)
    beginner.start()
    try:
        yield
    finally:
        beginner.join()
        for helper in helpers:
            helper.terminate()
