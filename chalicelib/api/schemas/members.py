"""Members of sessions, as clients send and receive them."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field, model_validator

from chalicelib.api.schemas.common import Input, Output, example
from chalicelib.api.schemas.sessions import SessionPath
from chalicelib.api.schemas.users import Email
from chalicelib.catalog.roles import SessionRole


class MemberPath(SessionPath):
    """Which member of which session."""

    member_id: UUID | Literal["me"] = Field(description="The `id` of a member; `me`: the caller.")


class MemberIdPath(SessionPath):
    """Which member of which session."""

    member_id: UUID


class MemberCreate(Input):
    """With whom to share a session: either `user_id` or `email`."""

    model_config = example(email="ada@example.org", role="viewer")

    user_id: UUID | None = None
    email: Email | None = Field(None, description="It need not be a user's yet.")
    role: SessionRole = Field(description="Viewers see and download; editors upload, change, delete and restore, too.")

    @model_validator(mode="after")
    def _names_one(self) -> "MemberCreate":
        if (self.user_id is None) == (self.email is None):
            raise ValueError("Name either user_id or email.")
        return self


class MemberPatch(Input):
    """What may be changed of a member."""

    model_config = example(role="editor")

    role: SessionRole


class MemberOut(Output):
    """Somebody with whom a session is shared."""

    id: UUID
    user_id: UUID | None = Field(description="Null for others who were named by their address.")
    email: str | None = Field(description="The address, if one was named. Only the owner sees those of others.")
    role: SessionRole
    created_at: datetime
    updated_at: datetime
