"""Folders, as clients send and receive them."""

from pydantic import Field

from chalicelib.api.schemas.common import Input, Output, Page, PageQuery


class FolderQuery(Input):
    """Which folder."""

    prefix: str = Field(min_length=1, max_length=1024, description="What the keys start with: `photos/2026/`.")
    bucket: str | None = Field(None, min_length=1, max_length=255, description="Left out: the bucket of uploads.")


class FoldersQuery(PageQuery):
    """Which folders."""

    prefix: str = Field("", max_length=1024, description="What the keys start with: `photos/2026/`. Left out: all.")
    bucket: str | None = Field(None, min_length=1, max_length=255, description="Left out: the bucket of uploads.")


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
