"""What the local queue lost, read from the bucket.

The emulator writes objects to disk at once, but its queue only when it is stopped in order. If it is killed right after
a PUT, it has the object and never tells of it. S3 and SQS keep both, and need none of this. At each start the bucket's
versions are compared with the catalogue's, a range of keys at a time, and differences are recorded as observations.
Events that are still in the queue, or that come meanwhile, merge with those.
"""

import threading
import time
from collections.abc import Iterator
from itertools import chain, islice, repeat

from chalicelib import runtime
from chalicelib.catalog.comparison import compare
from chalicelib.catalog.objects import Location
from chalicelib.catalog.observations import observe_unlisted
from chalicelib.db.known_versions import known_between
from chalicelib.db.recording import record_changes
from chalicelib.services.context import Context
from chalicelib.store.versions import History
from dev.problem import describe

_KEYS_AT_ONCE = 500


def catch_up(ctx: Context, bucket: str) -> int:
    """Record what the catalogue doesn't know about a bucket; returns how many changes it recorded.

    Raises:
        StoreUnavailable: the bucket can't be read.
    """
    versions = ctx.store.versions
    recorded, after = 0, ""
    for batch in _batches(versions.of_bucket(bucket)):
        until = max(batch, default=None, key=str.encode)
        with ctx.transaction() as tx:
            known = known_between(tx.session, bucket, after, until)
        changes = []
        for location in known.keys() | {Location(bucket, key) for key in batch}:
            comparison = compare(location, batch.get(location.key, []), known.get(location, {}))
            gone = [row for row in comparison.unlisted if not versions.is_there(*location, row.version_id)]
            changes += comparison.changes
            changes += [observe_unlisted(*location, row.version_id, row.put_rank) for row in gone]
        with ctx.transaction() as tx:
            record_changes(tx.session, changes, tx.now)
        recorded, after = recorded + len(changes), until or after
    return recorded


def _batches(histories: Iterator[History]) -> Iterator[dict[str, History]]:
    """Histories by key, some at a time. The last batch is empty: it stands for keys after the last listed one."""
    while batch := {history[0].key: history for history in islice(histories, _KEYS_AT_ONCE)}:
        yield batch
    yield {}


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
