"""Sessions, as clients send and receive them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AliasChoices, Field, StringConstraints

from chalicelib.api.schemas.common import (
    SOMETHING,
    Input,
    LimitsBody,
    Metadata,
    Output,
    PageQuery,
    absent,
    example,
    without_controls,
)
from chalicelib.catalog.roles import Right

# In a URL's path these letters stand for themselves, but `.` and `..` as a whole segment mean another path.
_OF_ID = "[A-Za-z0-9._~:@-]"
SessionId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128, pattern=rf"^(\.{{0,2}}[A-Za-z0-9_~:@-]{_OF_ID}*|\.\.\.{_OF_ID}*)$"),
    Field(description="Chosen by the client, unique for its owner.", examples=["test_123"]),
]
SessionName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(without_controls),
    Field(json_schema_extra=SOMETHING),
]


class SessionPath(Input):
    """Which session."""

    session_id: SessionId


class OwnerQuery(Input):
    """Whose session."""

    owner_id: UUID | None = Field(
        None, description="Left out: the caller's own. Else one that is shared with the caller."
    )


class OwnerPageQuery(PageQuery, OwnerQuery):
    """Whose session, and which page."""


class SessionQuery(PageQuery):
    """Which sessions, and in which order."""

    shared: bool = Field(False, description="`true`: those of others that are shared with the caller.")

    sort: Literal["created", "-created"] = Field("created", description="`-created`: newest first.")


class SessionCreate(Input):
    """A new session, or one that may be there already."""

    model_config = example(session_id="test_123")

    session_id: SessionId | None = Field(None, description="Left out: the server makes one up.")
    name: SessionName | None = None
    metadata: Metadata = Field(default_factory=dict)
    limits: LimitsBody = Field(default_factory=LimitsBody, description="They hold in addition to the owner's limits.")


class SessionReplace(Input):
    """All of a session. Fields that are left out get their defaults."""

    model_config = example(name="Holiday", metadata={"project": "apollo"})

    name: SessionName | None = None
    metadata: Metadata = Field(default_factory=dict)
    limits: LimitsBody = Field(default_factory=LimitsBody)


class SessionPatch(Input):
    """Some fields of a session. A null name removes it; metadata is replaced as a whole."""

    model_config = example(name="Holiday")

    name: SessionName | None = None
    metadata: Metadata = Field(default_factory=absent)
    limits: LimitsBody = Field(default_factory=absent, description="Replaced as a whole.")


class SessionOut(Output):
    """A group of uploads under an id that its owner chose."""

    id: UUID
    session_id: str
    name: str | None
    # The model's attribute has another name, because SQLAlchemy uses ``metadata`` itself.
    metadata: dict[str, Any] = Field(validation_alias=AliasChoices("metadata_", "metadata"))
    limits: LimitsBody
    owner_id: UUID = Field(description="Two owners may have sessions of one id: send both to name another user's.")
    created_at: datetime
    updated_at: datetime
    role: Right = Field("owner", description="What the caller may do in it.")
