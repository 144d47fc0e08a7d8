"""The use case behind every object event: record what a batch of notifications says."""

from collections.abc import Callable, Iterable

from chalicelib.catalog.changes import InspectionRequest, ObjectChange
from chalicelib.catalog.notifications import Told
from chalicelib.db.engine import LOCK_TIMEOUT_MS
from chalicelib.db.inspection_queue import request_inspection
from chalicelib.db.locks import lock_all_keys, lock_keys
from chalicelib.db.recording import Offer, Recorded, offer, prepare, record_changes, record_offer
from chalicelib.services.context import Transaction


def record_events(
    tx: Transaction,
    events: Iterable[Told],
    patience_ms: int = LOCK_TIMEOUT_MS,
    more: Callable[[], Iterable[ObjectChange]] | None = None,
) -> list[Recorded]:
    """Record everything that notifications say; returns what became of each distinct change.

    Recording the same again, in any order and grouping, leaves the catalogue as it is.

    Args:
        patience_ms: how long to wait for keys that others are recording.
        more: what else to record in this transaction, a piece at each call until it is empty. It is called while the database
            works on the piece before, and can't use this transaction. Its keys aren't known when the locks are taken, so all are.
    """
    changes: list[ObjectChange] = []
    requests: list[InspectionRequest] = []
    for event in events:
        if isinstance(event, ObjectChange):
            changes.append(event)
        else:
            requests.append(event)
    prepare(tx.session, patience_ms)
    if more is not None:
        recorded = _record_pieces(tx, changes, more)
    else:
        if requests:
            # All locks are taken at once. If these came after those of the changes, two batches could wait for each other
            # in a circle.
            told: list[Told] = [*changes, *requests]
            lock_keys(tx.session, {(event.bucket, event.key) for event in told})
        recorded = record_changes(tx.session, changes, tx.now)
    request_inspection(tx.session, requests, tx.now)
    return recorded


def _record_pieces(
    tx: Transaction, changes: Iterable[ObjectChange], more: Callable[[], Iterable[ObjectChange]]
) -> list[Recorded]:
    coming: Offer | Exception = offer(changes, tx.now)

    def make_ready() -> None:
        nonlocal coming
        try:
            coming = offer(more(), tx.now)
        except Exception as error:  # noqa: BLE001 - it must not be raised amid an answer of the database
            coming = error

    lock_all_keys(tx.session)
    recorded: list[Recorded] = []
    while isinstance(coming, Offer) and coming.changes:
        recorded += record_offer(tx.session, coming, make_ready)
    if isinstance(coming, Exception):
        raise coming
    return recorded
