"""What the local queue lost, read from the bucket.

The emulator writes objects to disk at once, but its queue only when it is stopped in order. If it is killed right after
a PUT, it has the object and never tells of it. S3 and SQS keep both, and need none of this. At each start the bucket's
versions are compared with the catalogue's, and what differs is recorded: see `chalicelib.services.truth.auditing`.
Events that are still in the queue, or that come meanwhile, merge with those.
"""

import threading
import time
from datetime import timedelta
from itertools import chain, repeat

from chalicelib import runtime
from chalicelib.catalog.audits import AuditRequest
from chalicelib.services.context import Context
from chalicelib.services.truth.auditing import audit
from dev.problem import describe


def catch_up(ctx: Context, bucket: str) -> int:
    """Record what the catalogue doesn't know about a bucket; returns how many changes it recorded.

    Raises:
        StoreUnavailable: the bucket can't be read.
    """
    return audit(ctx, AuditRequest(bucket, repairs=True, brake=1, grace=timedelta())).recorded


def start_catching_up(bucket: str) -> None:
    """Catch up with a bucket in a thread of its own, and try until it works.

    It runs beside the delivery of events: reading a large bucket takes a while, and events need not wait for it.
    """
    threading.Thread(target=_catch_up, args=(bucket,), name="catch-up", daemon=True).start()


def _catch_up(bucket: str) -> None:
    for pause in chain((1, 5, 30), repeat(300)):
        try:
            recorded = catch_up(runtime.context(), bucket)
        except Exception as error:  # noqa: BLE001 - whatever it was, events must still be delivered
            print(f"catch-up: failed, and is tried again in {pause} s: {describe(error)}", flush=True)
            time.sleep(pause)
        else:
            print(f"catch-up: {recorded} changes that no event had told of", flush=True)
            return
