"""Reading the messages of a batch piece by piece, each while the database records the one before."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from chalicelib import telemetry
from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.notifications import parse_message
from chalicelib.errors import MalformedNotification
from chalicelib.services.ingest.telling import Message, Parsed

# A batch that isn't larger is one piece. What reading the first piece takes, nothing hides. A message is read in a third of the
# time that the database takes to record it.
_UNDIVIDED = 256
_FIRST, _GROWTH = 100, 3

_Records = Sequence[dict[str, Any]]


class Piece(NamedTuple):
    """Some messages of a batch, and the ids of those that are none."""

    messages: list[Parsed]
    poison: list[str]


class Batch:
    """A batch of messages. A large one is read piece by piece.

    Attributes:
        joined: messages that were not taken, because `more` has given their changes away since the last call of `following`.
    """

    def __init__(self, records: _Records, request_id: str) -> None:
        self._unread = deque(_pieces(records))
        self._request_id = request_id
        self._aside = Piece([], [])
        self._buckets: set[str] = set()
        self.joined: list[Message] = []

    def take(self) -> Piece | None:
        """The next piece; after the last one what `more` laid aside; then None."""
        if self._unread:
            return _read(self._unread.popleft(), self._request_id)
        piece, self._aside = self._aside, Piece([], [])
        return piece if any(piece) else None

    def following(self, messages: Sequence[Message]) -> "Batch | None":
        """What may be recorded in one transaction with these messages, by `more`; None if nothing is left."""
        self.joined = []
        self._buckets = {event.bucket for _, events in messages for event in events}
        return self if self._unread else None

    def more(self) -> list[ObjectChange]:
        """The changes of the next piece that has any; empty if there is none.

        Messages that tell of anything but changes, or of other buckets than those of `following`, are laid aside. S3 or the
        catalogue may have to be asked about them, which is no use of a transaction that holds all keys.
        """
        changes: list[ObjectChange] = []
        while not changes and self._unread:
            try:
                messages, poison = _read(self._unread[0], self._request_id)
            except Exception:  # noqa: BLE001 - whatever it was, `take` meets it again, and raises it
                break
            others: list[Parsed] = []
            for identifier, events in messages:
                plain = [event for event in events if isinstance(event, ObjectChange) and event.bucket in self._buckets]
                if len(plain) == len(events):
                    changes += plain
                    self.joined.append((identifier, list(plain)))
                else:
                    others.append((identifier, events))
            self._unread.popleft()
            self._aside.messages.extend(others)
            self._aside.poison.extend(poison)
        return changes


def _pieces(records: _Records) -> Iterator[_Records]:
    if len(records) <= _UNDIVIDED:
        yield records
        return
    start, size = 0, _FIRST
    while start < len(records):
        # What would be left is small, and costs less together with this one.
        end = len(records) if 2 * (len(records) - start) <= 3 * size else start + size
        yield records[start:end]
        start, size = end, size * _GROWTH


def _read(records: _Records, request_id: str) -> Piece:
    piece = Piece([], [])
    for record in records:
        identifier = record["messageId"]
        try:
            piece.messages.append((identifier, list(parse_message(record["body"]))))
        except MalformedNotification as error:
            telemetry.log("error", "poison message", request_id=request_id, message_id=identifier, reason=str(error))
            piece.poison.append(identifier)
    return piece
