"""Many files at once, as clients send and receive them."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from chalicelib.api.schemas.common import Input, Output, Problem

MAX_AT_ONCE = 1000


class BulkFiles(Input):
    """Which files."""

    file_ids: list[UUID] = Field(min_length=1, max_length=MAX_AT_ONCE)

    def distinct_ids(self) -> list[UUID]:
        """Each of them once, in their order."""
        return list(dict.fromkeys(self.file_ids))


class BulkResult(Output):
    """What became of one file."""

    file_id: UUID
    status: Literal["done", "failed", "in_work"]
    problem: Problem | None = Field(description="Why it failed.")
    job_id: UUID | None = Field(description="The job that is still at work on it, if one is.")


class BulkOut(Output):
    """What became of each file, in the order in which they were named."""

    results: list[BulkResult]
