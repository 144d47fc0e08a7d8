"""Jobs, and what makes them, as clients send and receive them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import AliasPath, Field

from chalicelib.api.schemas.common import Input, Output
from chalicelib.catalog.commands import JobKind, JobState


class JobPath(Input):
    """Which job."""

    job_id: UUID


class FailureOut(Output):
    """One thing that couldn't be done."""

    what: str
    why: str


class JobOut(Output):
    """Work that may take longer than a request. Ask for it again until `state` is `done`, `failed` or `cancelled`."""

    id: UUID
    kind: JobKind
    state: JobState
    done: int = Field(0, validation_alias=AliasPath("progress", "done"), description="Files done so far.")
    failed: int = Field(0, validation_alias=AliasPath("progress", "failed"), description="Files that couldn't be done.")
    failures: list[FailureOut] = Field(
        default_factory=list,
        validation_alias=AliasPath("progress", "failures"),
        description="The first hundred failures.",
    )
    result: dict[str, Any] | None = Field(description="`file_id` of the file that was made or moved, if one was.")
    problem: str | None = Field(description="What went wrong last.")
    owner_id: UUID
    created_at: datetime
    updated_at: datetime
