"""Dead events as clients send and receive them."""

import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BeforeValidator, Field

from chalicelib.api.schemas.common import Input, Output, PageQuery, example
from chalicelib.catalog.dead_events import Selection
from chalicelib.errors import Unprocessable


def _as_text(value: Any) -> Any:
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[Tt ]", value):
        return value
    raise ValueError("a time is written as 2026-11-29T12:00:00Z")


_Text = Annotated[str, Field(max_length=1024)]
# Pydantic would take numbers, too, and dates alone.
_Moment = Annotated[AwareDatetime, BeforeValidator(_as_text)]


class DeadEventPath(Input):
    """Which dead event."""

    event_id: UUID


class DeadEventQuery(PageQuery):
    """Which dead events to list."""

    reason: _Text = Field("", description="Only those whose reason has this in it.")
    about: _Text = Field("", description="Only those whose bucket and key, `bucket/key`, have this in them.")
    sent_before: _Moment | None = Field(None, description="Only those first sent before then.")

    @property
    def selection(self) -> Selection:
        """As services take it."""
        return Selection((), self.reason, self.about, self.sent_before)


class DeadEventSelection(Input):
    """Which dead events to act on: those to which all of it applies. Say at least one thing, or `all`."""

    model_config = example(about="photos/")

    ids: list[UUID] = Field(default_factory=list, max_length=1000)
    reason: _Text = Field("", description="Those whose reason has this in it.")
    about: _Text = Field("", description="Those whose bucket and key, `bucket/key`, have this in them.")
    sent_before: _Moment | None = Field(None, description="Those first sent before then.")
    tried_before: _Moment | None = Field(None, description="Those last tried before then.")
    all: bool = Field(False, description="All of them.")

    @property
    def selection(self) -> Selection:
        """As services take it.

        Raises:
            Unprocessable: nothing is said.
        """
        found = Selection(tuple(self.ids), self.reason, self.about, self.sent_before, self.tried_before)
        if found == Selection() and not self.all:
            raise Unprocessable("Say which dead events: ids, reason, about, sent_before, tried_before, or all.")
        return found


class DeadEventOut(Output):
    """A notification that failed all its tries."""

    id: UUID
    about: str = Field(description="Bucket and key, `bucket/key`; the beginning of the message if that can't be read.")
    reason: str = Field(description="Why its last try failed.")
    sent_at: datetime = Field(description="When it was first sent.")
    tried_at: datetime = Field(description="Its last try.")


class DeadEventDetail(DeadEventOut):
    """A dead event, whole."""

    body: str = Field(description="The message.")


class RedrivenOut(Output):
    """What became of dead events that were tried again."""

    recorded: int = Field(description="Those that are in the catalogue now, and dead no more.")
    failed: int = Field(description="Those that failed again. Their reason is that of this try.")
    left: int = Field(
        description="Those for which the time did not suffice. Ask again, with `tried_before` as of this request."
    )


class DiscardedOut(Output):
    """How many dead events were thrown away."""

    discarded: int
