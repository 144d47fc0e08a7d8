"""API keys, as clients send and receive them."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field

from chalicelib.api.schemas.common import NO_CONTROLS, Input, Output, example, within_bytes, without_controls
from chalicelib.api.schemas.sessions import SessionId
from chalicelib.api.schemas.users import Name
from chalicelib.catalog.roles import KeyScope

_MAX_PREFIX_BYTES = 512


Prefix = Annotated[
    str,
    Field(min_length=1, max_length=_MAX_PREFIX_BYTES, json_schema_extra=NO_CONTROLS),
    AfterValidator(without_controls),
    within_bytes(_MAX_PREFIX_BYTES),
]


class ApiKeyPath(Input):
    """Which key."""

    key_id: UUID


class ApiKeyCreate(Input):
    """A new key."""

    model_config = example(name="Nightly export", scopes=["read"])

    name: Name
    scopes: list[KeyScope] = Field(
        min_length=1,
        max_length=3,
        description="`read`: what GET answers. `write`: everything else that concerns files and sessions. `admin`: keys, users, "
        "audits and, if you are an operator, everyone's files. None of them includes another.",
    )
    prefix: Prefix | None = Field(
        None,
        description="The key sees and makes only files whose object's key begins so. New ones go below `{your id}/`.",
    )
    session_id: SessionId | None = Field(
        None, description="The key sees this session of yours and its files, and no others."
    )
    expires_at: AwareDatetime | None = Field(
        None, description="From when on it doesn't work; in ten years at most. Left out: it doesn't expire."
    )


class ApiKeyOut(Output):
    """An API key, without its secret."""

    id: UUID
    name: str
    scopes: list[KeyScope]
    prefix: str | None
    session_id: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_on: date | None = Field(description="The day (UTC) of its last use that succeeded.")
    made_by: UUID | None = Field(description="The key that made it, which takes it along when it is revoked.")
    owner_id: UUID
    created_at: datetime


class ApiKeyCreated(ApiKeyOut):
    """A new key. Its secret is shown this once."""

    secret: str = Field(description="Send it as `Authorization: Bearer lf_…`.")
