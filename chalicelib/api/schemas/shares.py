"""Share links, as clients send and receive them."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from chalicelib.api.schemas.common import Input, Output, example


class ShareCreate(Input):
    """How long the link lasts, and how often it may be used."""

    model_config = example(max_uses=1)

    seconds: int = Field(7 * 86_400, ge=1, le=365 * 86_400, description="How long the link lasts; a week by default.")
    max_uses: int | None = Field(None, ge=1, le=2**31 - 1, description="1: for one download only. Left out: no limit.")


class SharePath(Input):
    """Which share."""

    share_id: UUID


class TokenPath(Input):
    """A share's token."""

    token: str = Field(max_length=200)


class ShareOut(Output):
    """A link to a file, for people without an account."""

    id: UUID
    file_id: UUID
    max_uses: int | None
    uses: int
    expires_at: datetime
    revoked_at: datetime | None
    created_at: datetime


class ShareCreated(ShareOut):
    """A new link. Its URL is shown this once."""

    url: str
