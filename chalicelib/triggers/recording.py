"""Recording the messages of a batch, so that none keeps its neighbours out: neither one that is refused nor one that waits."""

from collections.abc import Sequence

from chalicelib import runtime, telemetry
from chalicelib.db.engine import LOCK_TIMEOUT_MS
from chalicelib.db.locks import lock_free_keys
from chalicelib.db.recording import Recorded
from chalicelib.db.refusals import is_contention
from chalicelib.errors import DatabaseUnavailable
from chalicelib.services.ingest.recording import record_events
from chalicelib.services.ingest.telling import Message
from chalicelib.triggers.reading import Batch

# A batch that waits for one key holds others back meanwhile, so it soon records what it can without that key.
_PATIENCE_MS = 1500


def record_messages(
    messages: Sequence[Message], request_id: str, following: Batch | None = None
) -> tuple[list[Recorded], list[str]]:
    """Record all messages in one transaction, with those that ``following`` gives it. If the database refuses something in them,
    record one half after the other.

    Parsing has checked everything that the database is known to refuse. This is for what nobody has foreseen: one
    message must not keep its neighbours out forever. If other transactions hold some of the keys, the messages without
    those keys are recorded, and the others come again.
    """
    try:
        return _record_together(messages, _PATIENCE_MS, following), []
    except DatabaseUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it was, it must concern one message only
        if following is not None:
            messages = [*messages, *following.joined]
        if is_contention(error):
            return _record_what_can_be(messages, request_id)
        return _record_halves(messages, error, request_id)


def _record_halves(messages: Sequence[Message], error: Exception, request_id: str) -> tuple[list[Recorded], list[str]]:
    """Record one half after the other, until the message that the database refuses is alone."""
    if len(messages) <= 1:
        return [], _refused(messages, error, request_id)
    half = len(messages) // 2
    (first, no_first), (rest, no_rest) = (
        record_messages(part, request_id) for part in (messages[:half], messages[half:])
    )
    return first + rest, no_first + no_rest


def _record_what_can_be(messages: Sequence[Message], request_id: str) -> tuple[list[Recorded], list[str]]:
    """Record first the messages whose keys nobody holds, then the others, if their keys become free in time.

    Raises:
        DatabaseUnavailable: another transaction holds one of the files for too long, or the database is gone. All
            messages come again.
    """
    try:
        recorded, blocked = _record_free(messages)
    except DatabaseUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - as in `record_messages`
        return _record_halves(messages, error, request_id)
    try:
        return recorded + _record_together(blocked, LOCK_TIMEOUT_MS), []
    except Exception as error:  # noqa: BLE001 - the first ones are recorded, whatever it was: these come again
        reason = error
    telemetry.log(
        "warning",
        "messages come again, since others hold their keys",
        request_id=request_id,
        messages=len(blocked),
        error=reason,
    )
    return recorded, [identifier for identifier, _ in blocked]


def _record_free(messages: Sequence[Message]) -> tuple[list[Recorded], list[Message]]:
    """Record the messages whose keys nobody holds; also returns the other messages."""
    names = {(event.bucket, event.key) for _, events in messages for event in events}
    try:
        with runtime.context().transaction() as tx:
            free = lock_free_keys(tx.session, names)
            now_free = [m for m in messages if all((event.bucket, event.key) in free for event in m[1])]
            recorded = record_events(tx, [event for _, events in now_free for event in events])
    except Exception as error:
        if is_contention(error):
            raise DatabaseUnavailable("Others were changing the same files for too long.") from error
        raise
    done = {identifier for identifier, _ in now_free}
    return recorded, [message for message in messages if message[0] not in done]


def _record_together(messages: Sequence[Message], patience_ms: int, following: Batch | None = None) -> list[Recorded]:
    events = [event for _, events in messages for event in events]
    if not events:
        return []
    with runtime.context().transaction() as tx:
        return record_events(tx, events, patience_ms, None if following is None else following.more)


def _refused(messages: Sequence[Message], error: Exception, request_id: str) -> list[str]:
    for identifier, _ in messages:
        telemetry.log(
            "error", "message refused by the database", request_id=request_id, message_id=identifier, error=error
        )
    return [identifier for identifier, _ in messages]
