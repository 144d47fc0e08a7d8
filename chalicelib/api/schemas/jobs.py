"""Jobs, and what makes them, as clients send and receive them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import AliasPath, Field

from chalicelib.api.schemas.common import Input, Output
from chalicelib.api.schemas.files import FileName

MOST_FILES_IN_ZIP = 1000


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
    kind: Literal["copy", "move", "restore", "delete_folder", "empty_trash", "zip"]
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    done: int = Field(0, validation_alias=AliasPath("progress", "done"), description="Files done so far.")
    failed: int = Field(0, validation_alias=AliasPath("progress", "failed"), description="Files that couldn't be done.")
    failures: list[FailureOut] = Field(
        default_factory=list,
        validation_alias=AliasPath("progress", "failures"),
        description="The first hundred of them.",
    )
    result: dict[str, Any] | None = Field(description="`file_id` of the file that was made or moved, if one was.")
    problem: str | None = Field(description="What went wrong last.")
    owner_id: UUID
    created_at: datetime
    updated_at: datetime


class ZipCreate(Input):
    """Which files to zip."""

    file_ids: list[UUID] = Field(min_length=1, max_length=MOST_FILES_IN_ZIP)
    name: FileName = "files.zip"


class TrashQuery(Input):
    """Whose trash."""

    everyones: bool = Field(False, description="Everyone's, and that of files nobody owns. For operators.")


class FolderQuery(Input):
    """Which folder."""

    prefix: str = Field(min_length=1, max_length=1024, description="What the keys start with: `photos/2026/`.")
    bucket: str | None = Field(None, min_length=1, max_length=255, description="Left out: the one of uploads.")
