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
from chalicelib.services.truth.buckets import recorded_buckets
from dev.configuration import Configuration
from dev.problem import describe
from dev.subscriptions import subscribe_locally


def catch_up(ctx: Context, bucket: str) -> int:
    """Record what the catalogue doesn't know about a bucket; returns how many changes it recorded.

    Raises:
        StoreUnavailable: the bucket can't be read.
    """
    return audit(ctx, AuditRequest(bucket, repairs=True, brake=1, grace=timedelta())).recorded


def start_catching_up(configuration: Configuration) -> None:
    """Catch up with the stack's bucket and those that were adopted, in a thread, and try until it works.

    It runs beside the delivery of events: reading a large bucket takes a while, and events need not wait for it.
    """
    threading.Thread(target=_catch_up, args=(configuration,), name="catch-up", daemon=True).start()


def _catch_up(configuration: Configuration) -> None:
    done: set[str] = set()
    for pause in chain((1, 5, 30), repeat(300)):
        try:
            with runtime.context().transaction() as tx:
                buckets = recorded_buckets(tx)
        except Exception as error:  # noqa: BLE001 - as below
            buckets = [configuration.bucket]
            print(f"catch-up: the adopted buckets can't be read: {describe(error)}", flush=True)
        for bucket in buckets:
            if bucket not in done and _caught_up(configuration, bucket):
                done.add(bucket)
        if done.issuperset(buckets):
            return
        print(f"catch-up: tried again in {pause} s", flush=True)
        time.sleep(pause)


def _caught_up(configuration: Configuration, bucket: str) -> bool:
    try:
        if bucket != configuration.bucket:  # an emulator that was killed may have forgotten it
            subscribe_locally(configuration, bucket)
        recorded = catch_up(runtime.context(), bucket)
    except Exception as error:  # noqa: BLE001 - whatever it was, events must still be delivered
        print(f"catch-up: {bucket}: failed: {describe(error)}", flush=True)
        return False
    print(f"catch-up: {bucket}: {recorded} changes that no event had told of", flush=True)
    return True
