"""What notifications tell: their events, with S3's own word where they can't be believed."""

from collections.abc import Sequence
from typing import cast

from chalicelib.catalog.changes import CheckRequest, ObjectChange
from chalicelib.catalog.notifications import Event, Told, parse_message
from chalicelib.services.context import Context
from chalicelib.services.ingest.recording import record_events
from chalicelib.services.truth.buckets import unrecorded_among
from chalicelib.services.truth.checking import check

# The id of a message, and its events.
Parsed = tuple[str, list[Event]]
Message = tuple[str, list[Told]]


def tell(ctx: Context, messages: Sequence[Parsed]) -> list[Message]:
    """The messages with S3's own word in place of what can't be believed.

    Raises:
        StoreUnavailable: S3 alone could confirm an event, and doesn't answer.
    """
    requests = [request for message in messages for request in doubts(message)]
    if not requests:
        return cast("list[Message]", list(messages))
    believed = [event for _, events in messages for event in events if isinstance(event, ObjectChange)]
    answers = iter(check(ctx, requests, believed))

    def told(event: Event) -> Sequence[Told]:
        return next(answers) if isinstance(event, CheckRequest) else [event]

    return [(identifier, [one for event in events for one in told(event)]) for identifier, events in messages]


def doubts(message: Parsed) -> list[CheckRequest]:
    """The events of a message that S3 must confirm."""
    return [event for event in message[1] if isinstance(event, CheckRequest)]


def tell_alone(ctx: Context, body: str) -> list[Told]:
    """What one message tells, without events of buckets that the catalogue doesn't record.

    Raises:
        MalformedNotification: it is no notification. StoreUnavailable.
    """
    events = list(parse_message(body))
    unknown = unrecorded_among(ctx, {event.bucket for event in events})
    ((_, told),) = tell(ctx, [("", [event for event in events if event.bucket not in unknown])])
    return told


def record_alone(ctx: Context, body: str) -> None:
    """Record one message by itself.

    Raises:
        MalformedNotification, StoreUnavailable, DatabaseUnavailable; whatever else the database refuses it with.
    """
    told = tell_alone(ctx, body)
    with ctx.transaction() as tx:
        record_events(tx, told)
