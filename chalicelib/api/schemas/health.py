"""What the health routes answer."""

from typing import Literal

from chalicelib.api.schemas.common import Output


class HealthOut(Output):
    """The process runs."""

    status: Literal["ok"]


class ChecksOut(Output):
    """What was looked at."""

    database: Literal["ok"]
    bucket: Literal["ok"]


class ReadyOut(Output):
    """Everything that requests need is there."""

    status: Literal["ready"]
    checks: ChecksOut
