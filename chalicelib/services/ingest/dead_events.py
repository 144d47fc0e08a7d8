"""Dead events: notifications that failed all their tries. They are laid away with the reason, tried again, or thrown away.

Before an event is laid away it is tried once more, by itself. So what failed because the database was away for long is recorded
as soon as that is back, and only what can't be recorded waits for somebody.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

from chalicelib.catalog.dead_events import DeadEvent, Letter, Redriven, Selection
from chalicelib.db import dead_events
from chalicelib.db.pages import Page
from chalicelib.db.refusals import is_held_up
from chalicelib.errors import DatabaseUnavailable, LandfallError, NotFound
from chalicelib.services.accounts.trail import note_about
from chalicelib.services.context import Context, Transaction
from chalicelib.services.ingest.recording import record_events
from chalicelib.services.ingest.telling import record_alone, tell_alone

_AT_ONCE = 20  # of up to 1 MB each
_SECONDS = 10.0  # of a request


def settle_letter(ctx: Context, letter: Letter) -> str | None:
    """Record the event of a letter, or lay it away; returns the reason if it can't be recorded.

    Raises:
        DatabaseUnavailable: neither can be done, or others hold the event's keys. The letter is to come again.
    """
    try:
        record_alone(ctx, letter.body)
    except DatabaseUnavailable:
        raise
    except Exception as error:  # whatever it was, the letter must not be lost
        if is_held_up(error):
            raise DatabaseUnavailable("Others were changing the same files for too long.") from error
        reason = _reason(error, letter.error)
        with ctx.transaction() as tx:
            dead_events.add_dead_event(tx.session, letter, reason, tx.now)
        return reason
    return None


def list_dead_events(tx: Transaction, selection: Selection, limit: int, cursor: str | None) -> Page:
    """A page of them, the latest to die first.

    Raises:
        Forbidden: the caller is a member. InvalidCursor.
    """
    tx.principal.require_operator("see dead events")
    return dead_events.list_dead_events(tx.session, selection, limit, cursor)


def get_dead_event(tx: Transaction, event_id: UUID) -> DeadEvent:
    """A dead event with its body.

    Raises:
        Forbidden: the caller is a member. NotFound: there is none.
    """
    tx.principal.require_operator("see dead events")
    found = dead_events.find_dead_event(tx.session, event_id)
    if found is None:
        raise NotFound("There is no such dead event.")
    return found


def find_dead_events(ctx: Context, selection: Selection, limit: int) -> list[DeadEvent]:
    """Those that match, with their bodies, the longest untried first.

    Raises:
        Forbidden: the caller is a member.
    """
    ctx.principal.require_operator("see dead events")
    with ctx.transaction() as tx:
        return dead_events.some_dead_events(tx.session, selection, limit)


def redrive(ctx: Context, selection: Selection) -> Redriven:
    """Try dead events again, for some seconds. What can be recorded is a dead event no more.

    Raises:
        Forbidden: the caller is a member. DatabaseUnavailable.
    """
    ctx.principal.require_operator("redrive dead events")
    untried = replace(selection, tried_before=selection.tried_before or ctx.now)
    with ctx.transaction() as tx:
        note_about(tx, "redrive_events", None)
    end, results = time.monotonic() + _SECONDS, list[bool | None]()
    for event in _each(ctx, untried):
        results.append(_redrive_one(ctx, event))
        if time.monotonic() >= end:
            break
    with ctx.transaction() as tx:
        left = dead_events.count_dead_events(tx.session, untried)
    return Redriven(results.count(True), results.count(False), left)


def _each(ctx: Context, selection: Selection) -> Iterator[DeadEvent]:
    """Those that match, each once. What was tried doesn't match any more; what somebody else is at still does."""
    seen = set[UUID]()
    while fresh := [event for event in find_dead_events(ctx, selection, _AT_ONCE) if event.id not in seen]:
        for event in fresh:
            seen.add(event.id)
            yield event


def _redrive_one(ctx: Context, event: DeadEvent) -> bool | None:
    """Record an event and forget that it was dead, both or neither; None if somebody else is at it."""
    try:
        told = tell_alone(ctx, event.body)
        with ctx.transaction() as tx:
            if not dead_events.take_dead_event(tx.session, event.id):
                return None
            record_events(tx, told)
    except DatabaseUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it was, it is the reason
        with ctx.transaction() as tx:
            dead_events.note_failure(tx.session, event.id, _reason(error), tx.now)
        return False
    return True


def discard(tx: Transaction, selection: Selection) -> int:
    """Throw dead events away, for ever; returns how many.

    Raises:
        Forbidden: the caller is a member.
    """
    tx.principal.require_operator("throw dead events away")
    note_about(tx, "discard_events", None)
    return len(dead_events.discard_dead_events(tx.session, selection))


def count_dead_events(ctx: Context) -> int:
    """How many there are."""
    with ctx.transaction() as tx:
        return dead_events.count_dead_events(tx.session, Selection())


def _reason(error: Exception, said: str = "") -> str:
    """Why an event can't be recorded: what its function said, if that is known, else what this try has found."""
    if said:
        return said
    if isinstance(error, LandfallError):
        return str(error)
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
