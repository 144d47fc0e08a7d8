"""Folders, as clients send and receive them."""

from pydantic import Field

from chalicelib.api.schemas.common import Input, Output, Page, PageQuery
from chalicelib.api.schemas.files import IntoSession
from chalicelib.api.schemas.sessions import SessionId


class FolderQuery(Input):
    """Which folder."""

    prefix: str = Field(min_length=1, max_length=1024, description="What the keys start with: `photos/2026/`.")
    bucket: str | None = Field(None, min_length=1, max_length=255, description="Left out: the bucket of uploads.")


class FoldersQuery(PageQuery, IntoSession):
    """Which folders."""

    session_id: SessionId | None = Field(None, description="Only files in this session.")

    prefix: str = Field("", max_length=1024, description="What the keys start with: `photos/2026/`. Left out: all.")
    bucket: str | None = Field(None, min_length=1, max_length=255, description="Left out: the bucket of uploads.")
    exact: bool = Field(False, description="`true`: add up every file, and be refused if that takes too long.")


class FolderOut(Output):
    """A folder right below the prefix, with what is in it at any depth."""

    prefix: str
    name: str
    files: int = Field(description="How many files are in it; at least so many if `exact` is false.")
    bytes: int = Field(description="Their bytes; at least so many if `exact` is false.")
    exact: bool = Field(description="Whether every file was added up.")


class FoldersOut(Page[FolderOut]):
    """Folders in the order of their names, and what is below the prefix in all."""

    files: int = Field(description="How many files are below the prefix; at least so many if `exact` is false.")
    bytes: int = Field(description="Their bytes; at least so many if `exact` is false.")
    exact: bool = Field(description="Whether every file below the prefix was added up.")
