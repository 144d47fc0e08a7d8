"""The use case behind every object event: record what a batch of notifications says."""

from collections.abc import Callable, Iterable

from chalicelib.catalog.changes import InspectionRequest, ObjectChange
from chalicelib.catalog.notifications import Told
from chalicelib.db.engine import LOCK_TIMEOUT_MS
from chalicelib.db.inspection_queue import request_inspection
from chalicelib.db.locks import lock_keys
from chalicelib.db.recording import Recorded, prepare, record_changes
from chalicelib.services.context import Transaction


def record_events(
    tx: Transaction,
    events: Iterable[Told],
    patience_ms: int = LOCK_TIMEOUT_MS,
    in_the_meantime: Callable[[], None] | None = None,
) -> list[Recorded]:
    """Record everything that notifications say; returns what became of each distinct change.

    Recording the same again, in any order and grouping, leaves the catalogue as it is.

    Args:
        patience_ms: how long to wait for keys that others are recording.
        in_the_meantime: what to do while the database works. It must not raise, and can't use this transaction. It may be left
            out.
    """
    changes: list[ObjectChange] = []
    requests: list[InspectionRequest] = []
    for event in events:
        if isinstance(event, ObjectChange):
            changes.append(event)
        else:
            requests.append(event)
    prepare(tx.session, patience_ms)
    if requests:
        # All locks are taken at once. If these came after those of the changes, two batches could wait for each other
        # in a circle.
        told: list[Told] = [*changes, *requests]
        lock_keys(tx.session, {(event.bucket, event.key) for event in told})
    recorded = record_changes(tx.session, changes, tx.now, in_the_meantime)
    request_inspection(tx.session, requests, tx.now)
    return recorded
