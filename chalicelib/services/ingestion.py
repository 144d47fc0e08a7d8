"""The use case behind every object event: record what a batch of notices says."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.orm import Session

from chalicelib.catalog.changes import InspectionRequest, ObjectChange
from chalicelib.catalog.notifications import Notice
from chalicelib.db.inspection_queue import request_inspection
from chalicelib.db.locks import lock_keys
from chalicelib.db.recording import Recorded, record_changes


def record_notices(session: Session, notices: Iterable[Notice], now: datetime) -> list[Recorded]:
    """Record all notices in the caller's transaction; says what became of each distinct change.

    Recording the same notices again, in any order and grouping, leaves the catalogue as it is.
    """
    changes: list[ObjectChange] = []
    requests: list[InspectionRequest] = []
    for notice in notices:
        if isinstance(notice, ObjectChange):
            changes.append(notice)
        else:
            requests.append(notice)
    if requests:
        # All locks at once: taking these after those of the changes could wait in a circle with another batch.
        heard: list[Notice] = [*changes, *requests]
        lock_keys(session, {(notice.bucket, notice.key) for notice in heard})
    recorded = record_changes(session, changes, now)
    request_inspection(session, requests, now)
    return recorded
