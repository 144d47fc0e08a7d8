"""Dead events, as types: notifications that failed all their tries."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from chalicelib.catalog.notifications import parse_message
from chalicelib.errors import MalformedNotification

_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as a queue of dead events has it.

    Attributes:
        error: what the function said, if Lambda has kept that; else empty.
    """

    message_id: str
    body: str
    sent_at: datetime
    error: str = ""

    @property
    def about(self) -> str:
        """Bucket and key of its first record; the beginning of its body if that can't be read."""
        try:
            events = parse_message(self.body)
        except MalformedNotification:
            events = []
        return f"{events[0].bucket}/{events[0].key}" if events else self.body[:_SHOWN]


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """An event that failed.

    Attributes:
        about: see `Letter.about`.
        reason: why its last try failed.
        sent_at: when it was first sent.
        tried_at: its last try.
        body: the message.
    """

    id: UUID
    about: str
    reason: str
    sent_at: datetime
    tried_at: datetime
    body: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead events: those to which all of it applies.

    Attributes:
        reason, about: texts that theirs contain, in any case of letters.
        sent_before, tried_before: only what was first sent, or last tried, before then.
    """

    ids: tuple[UUID, ...] = field(default=())
    reason: str = ""
    about: str = ""
    sent_before: datetime | None = None
    tried_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of dead events that were tried again. ``left`` were not tried yet."""

    recorded: int
    failed: int
    left: int
