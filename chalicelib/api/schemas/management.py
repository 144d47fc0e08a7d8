"""Copying, moving, restoring, sharing, folders: as clients send and receive them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from chalicelib.api.schemas.common import Input, Metadata, Output, Page, PageQuery, Problem, example
from chalicelib.api.schemas.files import FileDetail, FileName, Tags
from chalicelib.api.schemas.jobs import JobOut
from chalicelib.api.schemas.sessions import SessionId

MOST_AT_ONCE = 1000


class FileCopy(Input):
    """What is said of the copy. Left out: what is said of the original."""

    model_config = example(name="A copy.pdf")

    name: FileName | None = None
    session_id: SessionId | None = None
    metadata: Metadata | None = None
    tags: Tags | None = None


class FileMove(Input):
    """Where the file is to be."""

    key: str = Field(min_length=1, max_length=1024, description="In the same bucket.", examples=["photos/2026/a.jpg"])
    name: FileName | None = Field(None, description="Left out: as it is or, if it was the old key's, the new key's.")


class FileInWork(FileDetail):
    """A file, and the job that is still at work on it."""

    job: JobOut | None = Field(description="Null: it is done.")


class FileRestore(Input):
    """What to bring back."""

    model_config = example()

    version_id: str | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description="This version becomes the newest one again. Left out: a deleted file comes back as it was.",
    )


class BulkFiles(Input):
    """Which files."""

    file_ids: list[UUID] = Field(min_length=1, max_length=MOST_AT_ONCE)


class BulkResult(Output):
    """What became of one file."""

    file_id: UUID
    status: Literal["done", "failed"]
    problem: Problem | None = Field(description="Why it failed.")


class BulkOut(Output):
    """What became of each file, in the order in which they were named."""

    results: list[BulkResult]


class ShareCreate(Input):
    """For how long, and how often."""

    model_config = example(max_uses=1)

    seconds: int = Field(7 * 86_400, ge=1, le=365 * 86_400, description="Until it ends; a week, unless told otherwise.")
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


class FoldersQuery(PageQuery):
    """Whose folders."""

    prefix: str = Field("", max_length=1024, description="What the keys start with: `photos/2026/`. Left out: all.")
    bucket: str | None = Field(None, min_length=1, max_length=255, description="Left out: the one of uploads.")


class FolderOut(Output):
    """A folder right below the prefix, with what is in it at any depth."""

    prefix: str
    name: str
    files: int
    bytes: int


class FoldersOut(Page[FolderOut]):
    """Folders in the order of their names, and what is below the prefix in all."""

    files: int
    bytes: int


def bulk_result(file_id: UUID, problem: dict[str, Any] | None) -> dict[str, Any]:
    """A `BulkResult`, ready to be validated."""
    return {"file_id": file_id, "status": "failed" if problem else "done", "problem": problem}
