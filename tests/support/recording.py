"""Records events as `ingest` does."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from chalicelib.catalog.notifications import parse_message
from chalicelib.runtime import now
from chalicelib.services.ingest.recording import record_events
from chalicelib.store.client import ObjectStore
from tests.support.contexts import transaction_on
from tests.support.notifications import NOON, body, s3_record


def deliver(engine: Engine, *records: dict[str, Any]) -> list[str]:
    """Record these events in one transaction; returns the outcome of each."""
    return deliver_messages(engine, [body(*records)])


def deliver_messages(engine: Engine, bodies: Iterable[str], at: datetime = NOON) -> list[str]:
    """Record these bodies of messages in one transaction; returns the outcome of each event."""
    with transaction_on(engine, at=at) as tx:
        recorded = record_events(tx, [event for text in bodies for event in parse_message(text)])
        return [item.outcome for item in recorded]


def deliver_current(engine: Engine, store: ObjectStore, bucket: str, key: str) -> None:
    """Record the event of the object that is at a key now."""
    head = store.head(bucket, key)
    fields = {"version_id": head.version_id, "size": head.size, "etag": head.etag, "bucket": bucket}
    deliver(engine, s3_record("ObjectCreated:Post", key, sequencer=f"{head.size + 1:08X}", time=now(), **fields))
