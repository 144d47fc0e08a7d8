"""Notifications from the queue or straight from their emitters: they become rows, then new objects are inspected."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from chalicelib import runtime, telemetry
from chalicelib.catalog.changes import InspectionRequest
from chalicelib.catalog.dead_events import Letter
from chalicelib.catalog.notifications import parse_document
from chalicelib.db.recording import Recorded
from chalicelib.errors import DatabaseUnavailable, NotFound, Refused, StoreUnavailable
from chalicelib.services.ingest.dead_events import settle_letter
from chalicelib.services.ingest.recording import record_events
from chalicelib.services.ingest.telling import Message, Parsed, doubts, tell
from chalicelib.services.truth.buckets import unrecorded_among
from chalicelib.triggers.following import heal_unknown, index_some, inspect_some
from chalicelib.triggers.reading import Batch
from chalicelib.triggers.recording import record_messages

# How many new objects one invocation inspects itself; the schedule takes the rest.
INSPECTED_INLINE = 100
# How many files it indexes for search.
INDEXED_INLINE = 2000


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Record the notifications of a batch of SQS messages.

    Args:
        event: what Lambda's event source mapping hands over: ``{"Records": [{"messageId", "body", ...}]}``.

    Returns:
        ``{"batchItemFailures": [{"itemIdentifier": message id}]}`` with the messages that were not recorded: those that
            are poison, those that the database refuses, those whose keys others held for too long, and those that only
            S3 could confirm, and did not. The log says why. They come again, and after their last try they go to the
            dead-letter queue. All other messages are committed.

    Raises:
        DatabaseUnavailable: the whole batch comes again. If a part of it was recorded, recording it again does no harm.
    """
    request_id = _request_id(context)
    done = _Done()
    batch = Batch(event.get("Records") or [], request_id)
    try:
        while (piece := batch.take()) is not None:
            messages, unchecked = _check(_recorded_only(piece.messages, request_id), request_id)
            recorded, refused = record_messages(messages, request_id, batch.following(messages))
            done.recorded += recorded
            done.messages += (*messages, *batch.joined)
            done.failed += (*piece.poison, *unchecked, *refused)
    except DatabaseUnavailable:
        if done.recorded:
            done.report(request_id)
        raise
    done.report(request_id)
    _follow_up(done.recorded)
    heal_unknown(_requests(done.messages))
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in done.failed]}


@dataclass(slots=True)
class _Done:
    """What became of a batch so far; ``failed`` are ids of messages."""

    recorded: list[Recorded] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def report(self, request_id: str) -> None:
        """Log it and count it."""
        _report(self.recorded, request_id, len(self.messages), len(self.failed))


def handle_direct(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Record the notifications of one direct invocation by S3, SNS or EventBridge.

    Returns:
        ``{"recorded": number of distinct changes}``.

    Raises:
        MalformedNotification: the event is no notification. Lambda retries it, then hands it to the function's failure
            destination.
        StoreUnavailable: S3 alone could confirm the event, and doesn't answer. DatabaseUnavailable: as `handle`.
    """
    request_id = _request_id(context)
    ((_, events),) = tell(runtime.context(), _recorded_only([("", list(parse_document(event)))], request_id))
    with runtime.context().transaction() as tx:
        recorded = record_events(tx, events)
    _report(recorded, request_id, 1, 0)
    _follow_up(recorded)
    heal_unknown(_requests([("", events)]))
    return {"recorded": len(recorded)}


def bury(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Try events that failed all their tries once more, and lay away with the reason those that fail again.

    Args:
        event: as of `handle`, from the queue of dead events.

    Returns:
        As `handle`: messages that can't be laid away either, because the database is away. They come again.
    """
    failed, request_id = [], _request_id(context)
    for record in event.get("Records") or []:
        letter = _letter(record)
        try:
            reason = settle_letter(runtime.context(), letter)
        except DatabaseUnavailable:
            failed.append(letter.message_id)
            continue
        if reason is not None:
            telemetry.log(
                "error",
                "dead event",
                request_id=request_id,
                message_id=letter.message_id,
                about=letter.about,
                reason=reason,
            )
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in failed]}


def _letter(record: dict[str, Any]) -> Letter:
    """A record of the event source mapping. Lambda says itself why it has given up a direct invocation."""
    error = record.get("messageAttributes", {}).get("ErrorMessage", {}).get("stringValue", "")
    sent_at = datetime.fromtimestamp(int(record["attributes"]["SentTimestamp"]) / 1000, UTC)
    return Letter(record["messageId"], record["body"], sent_at, error)


def _recorded_only(messages: Sequence[Parsed], request_id: str) -> list[Parsed]:
    """The messages without events of buckets that the catalogue doesn't record."""
    unknown = unrecorded_among(runtime.context(), {event.bucket for _, events in messages for event in events})
    if not unknown:
        return list(messages)
    dropped = Counter(event.bucket for _, events in messages for event in events if event.bucket in unknown)
    for bucket, count in dropped.items():
        telemetry.log(
            "warning", "events of an unknown bucket dropped", request_id=request_id, bucket=bucket, count=count
        )
    return [(name, [event for event in events if event.bucket not in unknown]) for name, events in messages]


def _check(messages: Sequence[Parsed], request_id: str) -> tuple[list[Message], list[str]]:
    """The messages with S3's own word where they can't be believed. Those that S3 doesn't answer come again.

    A bucket that is gone, or that we may not read, must not hold up the events of others.
    """
    try:
        return tell(runtime.context(), messages), []
    except StoreUnavailable as error:
        telemetry.log("warning", "messages come again, since S3 does not answer", request_id=request_id, error=error)
    try:
        told = tell(runtime.context(), _within(messages, _readable_buckets(messages)))
    except StoreUnavailable:
        told = tell(runtime.context(), _within(messages, set()))
    names = {identifier for identifier, _ in told}
    return told, [identifier for identifier, _ in messages if identifier not in names]


def _within(messages: Sequence[Parsed], readable: set[str]) -> list[Parsed]:
    """The messages that need no other bucket's answers than those of ``readable``."""
    return [message for message in messages if all(request.bucket in readable for request in doubts(message))]


def _readable_buckets(messages: Sequence[Parsed]) -> set[str]:
    """The buckets of doubtful events that S3 lets us read, if there are others; none if it doesn't answer at all."""
    buckets = {request.bucket for message in messages for request in doubts(message)}
    readable: set[str] = set()
    for bucket in buckets if len(buckets) > 1 else ():
        try:
            runtime.store().check_bucket(bucket)
        except (NotFound, Refused):
            continue
        except StoreUnavailable:
            return set()
        readable.add(bucket)
    return readable


def _report(recorded: Sequence[Recorded], request_id: str, messages: int, failures: int) -> None:
    telemetry.log_changes(recorded, request_id)
    telemetry.metric({"Messages": messages, "Failures": failures, "Changes": len(recorded)}, {"Function": "ingest"})


def _follow_up(recorded: Sequence[Recorded]) -> None:
    """Index and inspect what just came, if anything new did.

    Recording is committed: whatever fails here is left to the schedule.
    """
    if runtime.settings().inspection != "inline" or not any(r.outcome in ("created", "updated") for r in recorded):
        return
    index_some(INDEXED_INLINE)
    inspect_some(INSPECTED_INLINE, newest_first=True)


def _requests(messages: Sequence[Message]) -> Iterable[InspectionRequest]:
    return (event for _, events in messages for event in events if isinstance(event, InspectionRequest))


def _request_id(context: Any) -> str:
    return str(getattr(context, "aws_request_id", "") or "")
