"""Which files a list or a count is about, as clients ask for them."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from chalicelib.api.schemas.common import Input, Output, Page, PageQuery
from chalicelib.api.schemas.files import MAX_TAGS, MAX_WAIT_SECONDS, FileOut, Tag
from chalicelib.api.schemas.sessions import OwnerQuery, SessionId
from chalicelib.catalog.files import ListedState
from chalicelib.catalog.metadata_filters import parse_filter

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_WORD = re.compile(r"[^\W_]")  # as `chalicelib.db.search` cuts words


def _written_out(moment: Any) -> Any:
    if isinstance(moment, str) and not _DATE.match(moment):  # pydantic takes a number for seconds since 1970
        raise ValueError("Must be RFC 3339, as in 2026-11-23T12:00:00Z.")
    return moment


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("Is beyond the years 1 to 9999 in UTC.") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_utc)]
Size = Annotated[int, Field(ge=0, lt=2**63)]


class SessionFilesPath(Input):
    """Which session."""

    session_id: SessionId


def _known_filters(metadata: dict[str, str]) -> dict[str, str]:
    for name, value in metadata.items():
        parse_filter(name, value)
    return metadata


def _some_words(query: str) -> str:
    if not _WORD.search(query):
        raise ValueError("Holds no letter and no digit to search for.")
    return query


# The names that `parse_filter` accepts, for the OpenAPI document.
_FILTER_NAME = r"^[^.:\x00]+(\.[^.:\x00]+){0,7}(:(gt|gte|lt|lte|ne|exists))?$"
MetadataFilters = Annotated[dict[str, str], AfterValidator(_known_filters)]


class FileFilterQuery(Input):
    """Which files. Times are RFC 3339 with a zone; ranges of times are half open."""

    bucket: str | None = Field(None, min_length=1, max_length=255, description="Files in this bucket.")
    key: str | None = Field(None, min_length=1, max_length=1024, description="The file with exactly this key.")
    prefix: str | None = Field(None, min_length=1, max_length=1024, description="Files whose key starts with this.")
    state: ListedState | None = Field(None, description="Left out: all but the deleted ones.")
    media_type: str | None = Field(
        None, pattern=r"^[^/]+/.+$", max_length=255, description="`image/png` exactly, or `image/*` for the family."
    )
    min_size: Size | None = Field(None, description="At least so many bytes.")
    max_size: Size | None = Field(None, description="At most so many bytes.")
    created_after: Moment | None = Field(None, description="Created then or later, to the millisecond.")
    created_before: Moment | None = Field(None, description="Created before then, to the millisecond.")
    updated_after: Moment | None = Field(None, description="Last changed then or later.")
    updated_before: Moment | None = Field(None, description="Last changed before then.")
    is_mismatch: bool | None = Field(
        None, description="`true`: files whose bytes are not of the declared type; `false`: all others."
    )
    folder: str | None = Field(
        None, min_length=1, max_length=1024, description="Files right below this prefix, not deeper."
    )
    tag: list[Tag] = Field(
        default_factory=list, max_length=MAX_TAGS, description="Files with this tag; repeated: with all of them."
    )
    metadata: MetadataFilters = Field(
        default_factory=dict,
        max_length=8,
        description="Up to eight, written `metadata.camera.make=Leica` or `metadata[camera.make]=Leica`: files whose "
        "metadata has this value. With an operator, `metadata.iso:gte=400` or `metadata[iso:gte]=400`: "
        "`gt`, `gte`, `lt`, `lte`, `ne`, `exists` (`true` or `false`). Numbers compare as numbers, "
        "RFC 3339 times as times, all else as text. An array matches if one of its elements does.",
        json_schema_extra={"propertyNames": {"pattern": _FILTER_NAME}},
        examples=[{}],
    )
    q: Annotated[str, AfterValidator(_some_words)] | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Search names, keys, tags and metadata for words, beginnings of words, or similar words. All words "
        "must be found; only the first eight count.",
    )
    exact: bool = Field(
        False,
        description="`true`: read everything that matches, and be refused if that takes too long. Otherwise a search by "
        "relevance and a count may stop early; the answer's `exact` says whether it did.",
    )


class FilesOut(Page[FileOut]):
    """Files. They are all that match, page by page, if `exact` is true."""

    exact: bool = Field(
        description="False: there are more matches than a search ranks. Only the newest and some others are listed."
    )


_Sorts = Literal["created", "-created", "updated", "-updated", "name", "-name", "size", "-size", "relevance"]


class SortedQuery(FileFilterQuery, PageQuery):
    """Which files, and in which order."""

    sort: _Sorts | None = Field(
        None,
        description="`-` for descending; left out: `-created` or, with `q`, `relevance`. Names compare byte by byte; "
        "files whose size isn't known come last.",
    )

    @model_validator(mode="after")
    def _relevant_to_something(self) -> "SortedQuery":
        if self.sort == "relevance" and self.q is None:
            raise ValueError("Nothing is relevant without q.")
        return self


class SessionFilesQuery(SortedQuery, OwnerQuery):
    """Which files, and in which order. Times are RFC 3339 with a zone; ranges of times are half open."""


class _OfWhom(Input):
    owner_id: UUID | None = Field(
        None,
        description="Files of this user. Together with `session_id`, those of a session that is shared with the caller.",
    )
    session_id: SessionId | None = Field(None, description="Files in sessions of this id.")


class FileQuery(SortedQuery, _OfWhom):
    """Which files, and in which order. Times are RFC 3339 with a zone; ranges of times are half open."""

    wait: int = Field(
        0, ge=0, le=MAX_WAIT_SECONDS, description="With `key`: wait so many seconds for a file to be stored there."
    )

    @model_validator(mode="after")
    def _waits_for_one_key(self) -> "FileQuery":
        if self.wait and self.key is None:
            raise ValueError("Only with key there is something to wait for.")
        return self


class FacetsQuery(FileFilterQuery, _OfWhom):
    """Which files to count, and by what."""

    by: str = Field(
        "type,session,tag,month",
        pattern=r"^(type|session|tag|month|state)(,(type|session|tag|month|state))*$",
        max_length=100,
        description="Comma-separated, each once: `type`, `session`, `tag`, `month` (of creation, in UTC), `state`.",
    )

    @field_validator("by")
    @classmethod
    def _names_each_once(cls, by: str) -> str:
        if len(set(by.split(","))) < len(by.split(",")):
            raise ValueError("Names a facet twice.")
        return by


class FacetOut(Output):
    """Files that have a value in common."""

    value: str | None = Field(description="Null for those that have none.")
    files: int
    bytes: int


class FacetsOut(Output):
    """The values of the facets that were asked for, and how much was counted."""

    # A facet that wasn't asked for is left out.
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    exact: bool = Field(
        description="Whether every matching file was counted. If not, there are at least as many files and bytes of each value."
    )
    counted: int = Field(description="How many matching files were counted.")
    type: list[FacetOut] = Field([], description="By media type.")
    session: list[FacetOut] = Field([], description="By session.")
    tag: list[FacetOut] = Field([], description="By tag.")
    month: list[FacetOut] = Field([], description="By month of creation, in UTC: `2026-11`.")
    state: list[FacetOut] = Field([], description="By state.")
