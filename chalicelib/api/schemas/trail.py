"""The trail, as clients read it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from chalicelib.api.schemas.common import Output, PageQuery
from chalicelib.api.schemas.file_queries import Moment
from chalicelib.catalog.acts import Act, ActFilters, EventAct, Via


class TrailQuery(PageQuery):
    """Which acts to list. Times are RFC 3339 with a zone; the range of times is half open, to the millisecond."""

    actor_id: UUID | None = Field(None, description="What this user did.")
    act: Act | None = Field(None, description="What was done.")
    file_id: UUID | None = Field(None, description="What was done to this file, even if nothing is left of it.")
    since: Moment | None = Field(None, description="What was done then or later.")
    until: Moment | None = Field(None, description="What was done before then.")

    @property
    def filters(self) -> ActFilters:
        """As services take them."""
        return ActFilters(self.actor_id, self.act, self.file_id, self.since, self.until)


class ActOut(Output):
    """What somebody, or Landfall itself, did. Users are named by their ids alone, which stay when a user is deleted."""

    id: str
    at: datetime
    act: Literal[Act, EventAct] = Field(
        description="What was done. With `via` `event` it is what S3 told: `put`, `marker` (a delete marker), `removal`, `purge`."
    )
    actor_id: UUID | None = Field(description="Who did it; null: Landfall itself, or somebody without an account.")
    key_id: UUID | None = Field(description="The API key that the actor came with.")
    via: Via = Field(description="What made Landfall act: a `request`, a `job`, the `clock`, or an `event` of S3's.")
    file_id: UUID | None
    owner_id: UUID | None = Field(description="Whose file or account it was at that time.")
    subject_id: UUID | None = Field(description="The share, key, user, session, job or audit that it was about.")
    request_id: str | None = Field(description="Finds the log lines. Of a job, its id.")
