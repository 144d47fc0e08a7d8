"""What the health routes answer."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from chalicelib.api.schemas.common import Output


class HealthOut(Output):
    """The process runs."""

    status: Literal["ok"]


class ChecksOut(Output):
    """What was looked at."""

    database: Literal["ok"]
    bucket: Literal["ok"]


class StoreOut(Output):
    """What the object store does not honour of what S3 promises, as it was found when it was tried."""

    ignores: list[str] = Field(description="Names of promises that it doesn't keep; none on AWS.")
    admits: list[str] = Field(description="What that means, a sentence for each.")
    problem: str | None = Field(description="Why it could not be tried; then nothing is assumed to hold.")
    probed_at: datetime | None = Field(description="When it was tried; null on AWS, which is not.")


class ReadyOut(Output):
    """Everything that requests need is there."""

    status: Literal["ready"]
    checks: ChecksOut
    store: StoreOut
