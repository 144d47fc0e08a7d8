"""The table of dead events."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chalicelib.catalog.dead_events import DeadEvent, Letter, Selection
from chalicelib.db import models
from chalicelib.db.pages import Order, Page, in_utc, list_by_id
from chalicelib.ids import uuid7

# As `chalicelib.api.schemas.dead_events.DeadEventOut` has it.
_ITEM = f"id, about, reason, {in_utc('sent_at')} AS sent_at, {in_utc('tried_at')} AS tried_at"
_LISTED = """dead_events
WHERE strpos(lower(reason), lower(:reason)) > 0 AND strpos(lower(about), lower(:about)) > 0
    AND (CAST(:sent_before AS timestamptz) IS NULL OR sent_at < :sent_before)"""


def add_dead_event(session: Session, letter: Letter, reason: str, now: datetime) -> None:
    """Note that an event has failed. If it is there already, only its reason changes."""
    # Postgres takes no NUL in a text, and no notification has one.
    texts = {"body": letter.body.replace("\0", "\ufffd"), "about": letter.about.replace("\0", "\ufffd")}
    values = {"message_id": letter.message_id, "sent_at": letter.sent_at, **texts}
    row = insert(models.DeadEvent).values(id=uuid7(now), reason=reason, tried_at=now, **values)
    again = {"reason": row.excluded.reason, "tried_at": row.excluded.tried_at}
    session.execute(row.on_conflict_do_update(index_elements=[models.DeadEvent.message_id], set_=again))


def list_dead_events(session: Session, selection: Selection, limit: int, cursor: str | None) -> Page:
    """A page of those that match, the latest to die first. Ids and tries aren't filtered by.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    values = {"reason": selection.reason, "about": selection.about, "sent_before": selection.sent_before}
    return list_by_id(session, Order("dead_events", descending=True), _ITEM, _LISTED, values, limit, cursor)


def find_dead_event(session: Session, event_id: UUID) -> DeadEvent | None:
    """A dead event with its body; None if there is none."""
    found = session.get(models.DeadEvent, event_id)
    return None if found is None else _as_type(found)


def some_dead_events(session: Session, selection: Selection, limit: int) -> list[DeadEvent]:
    """Those that match, the longest untried first."""
    row = models.DeadEvent
    found = select(row).where(*_matching(selection)).order_by(row.tried_at, row.id).limit(limit)
    return [_as_type(one) for one in session.scalars(found)]


def count_dead_events(session: Session, selection: Selection) -> int:
    """How many match."""
    return session.scalar(select(func.count()).select_from(models.DeadEvent).where(*_matching(selection))) or 0


def take_dead_event(session: Session, event_id: UUID) -> bool:
    """Remove one; returns False if it is gone, or somebody else is about to remove it."""
    row = models.DeadEvent
    free = select(row.id).where(row.id == event_id).with_for_update(skip_locked=True)
    return session.scalar(delete(row).where(row.id.in_(free)).returning(row.id)) is not None


def note_failure(session: Session, event_id: UUID, reason: str, now: datetime) -> None:
    """Note that one has failed again."""
    row = models.DeadEvent
    session.execute(update(row).where(row.id == event_id).values(reason=reason, tried_at=now))


def discard_dead_events(session: Session, selection: Selection) -> Sequence[UUID]:
    """Remove those that match; returns which."""
    row = models.DeadEvent
    return session.scalars(delete(row).where(*_matching(selection)).returning(row.id)).all()


def _matching(selection: Selection) -> list[ColumnElement[bool]]:
    row = models.DeadEvent
    conditions: list[ColumnElement[bool]] = [
        row.reason.icontains(selection.reason, autoescape=True),
        row.about.icontains(selection.about, autoescape=True),
    ]
    if selection.ids:
        conditions.append(row.id.in_(selection.ids))
    if selection.sent_before is not None:
        conditions.append(row.sent_at < selection.sent_before)
    if selection.tried_before is not None:
        conditions.append(row.tried_at < selection.tried_before)
    return conditions


def _as_type(row: Any) -> DeadEvent:
    return DeadEvent(row.id, row.about, row.reason, row.sent_at, row.tried_at, row.body)
