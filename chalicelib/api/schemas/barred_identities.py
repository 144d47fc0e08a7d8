"""Identities of deleted users, as clients receive them."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from chalicelib.api.schemas.common import Input, Output


class BarredIdentityPath(Input):
    """Which identity."""

    identity_id: UUID


class BarredIdentityOut(Output):
    """An identity with which nobody may sign in. Only a hash of its name is kept."""

    id: UUID
    user_id: UUID = Field(description="The deleted user, as the trail and the log name it.")
    created_at: datetime
