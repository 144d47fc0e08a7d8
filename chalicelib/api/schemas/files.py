"""Files, as clients send and receive them."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from chalicelib.api.schemas.common import (
    NO_CONTROLS,
    Input,
    Metadata,
    Output,
    PageQuery,
    absent,
    example,
    without_controls,
)
from chalicelib.api.schemas.sessions import SessionId
from chalicelib.catalog.metadata_filters import parse_filter

MAX_TAGS = 50
# API Gateway waits for 29 seconds.
MAX_WAIT_SECONDS = 20
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_WORD = re.compile(r"[^\W_]")  # as `chalicelib.db.search` cuts words


def _distinct(tags: list[str]) -> list[str]:
    if len(set(tags)) != len(tags):
        raise ValueError("A tag is given twice.")
    return tags


FileName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255),
    AfterValidator(without_controls),
    Field(
        json_schema_extra=NO_CONTROLS,
        description="What people call it. Any characters but control characters.",
        examples=["Übersicht 1.pdf"],
    ),
]
Tag = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    AfterValidator(without_controls),
    Field(json_schema_extra=NO_CONTROLS),
]
Tags = Annotated[
    list[Tag],
    Field(
        max_length=MAX_TAGS,
        json_schema_extra={"uniqueItems": True},
        description="Up to 50 different words.",
        examples=[["holiday", "2026"]],
    ),
    AfterValidator(_distinct),
]


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


class FilePath(Input):
    """Which file."""

    file_id: UUID


class SessionFilesPath(Input):
    """Whose session's files."""

    session_id: SessionId


def _known_filters(metadata: dict[str, str]) -> dict[str, str]:
    for name, value in metadata.items():
        parse_filter(name, value)
    return metadata


def _some_words(query: str) -> str:
    if not _WORD.search(query):
        raise ValueError("Holds no letter and no digit to search for.")
    return query


# As `parse_filter` has it, for the document.
_FILTER_NAME = r"^[^.:\x00]+(\.[^.:\x00]+){0,7}(:(gt|gte|lt|lte|ne|exists))?$"
MetadataFilters = Annotated[dict[str, str], AfterValidator(_known_filters)]


class FileFilterQuery(Input):
    """Which files. Times are RFC 3339 with a zone; ranges of times are half open."""

    bucket: str | None = Field(None, min_length=1, max_length=255, description="Files in this bucket.")
    key: str | None = Field(None, min_length=1, max_length=1024, description="The file with exactly this key.")
    prefix: str | None = Field(None, min_length=1, max_length=1024, description="Files whose key starts so.")
    state: Literal["pending", "stored", "deleted", "any"] | None = Field(
        None, description="Left out: all but the deleted ones."
    )
    media_type: str | None = Field(
        None, pattern=r"^[^/]+/.+$", max_length=255, description="`image/png` exactly, or `image/*` for the family."
    )
    min_size: Size | None = Field(None, description="At least so many bytes.")
    max_size: Size | None = Field(None, description="At most so many bytes.")
    created_after: Moment | None = Field(None, description="Created then or later, to the millisecond.")
    created_before: Moment | None = Field(None, description="Created before then, to the millisecond.")
    updated_after: Moment | None = Field(None, description="Last changed then or later.")
    updated_before: Moment | None = Field(None, description="Last changed before then.")
    is_mismatch: bool | None = Field(None, description="Files whose bytes are, or are not, as declared.")
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
        "RFC 3339 times as times, all else as text; of an array, any element may fit.",
        json_schema_extra={"propertyNames": {"pattern": _FILTER_NAME}},
        examples=[{}],
    )
    q: Annotated[str, AfterValidator(_some_words)] | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Search names, keys, tags and metadata: words as they are, parts of them, or nearly so. All words "
        "must be found; the first eight count.",
    )


_Sorts = Literal["created", "-created", "updated", "-updated", "name", "-name", "size", "-size", "relevance"]


class SessionFilesQuery(FileFilterQuery, PageQuery):
    """Which files, and in which order. Times are RFC 3339 with a zone; ranges of times are half open."""

    sort: _Sorts | None = Field(
        None,
        description="`-` for descending; left out: `-created` or, with `q`, `relevance`. Names compare byte by byte; "
        "files whose size isn't known come last.",
    )

    @model_validator(mode="after")
    def _relevant_to_something(self) -> "SessionFilesQuery":
        if self.sort == "relevance" and self.q is None:
            raise ValueError("Nothing is relevant without q.")
        return self


class _OfWhom(Input):
    owner_id: UUID | None = Field(None, description="Files of this user.")
    session_id: SessionId | None = Field(None, description="Files in sessions of this id.")


class FileQuery(SessionFilesQuery, _OfWhom):
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


class WaitQuery(Input):
    """How long to wait."""

    wait: int = Field(
        0, ge=0, le=MAX_WAIT_SECONDS, description="Wait so many seconds for a pending file to be stored or deleted."
    )


class DownloadQuery(Input):
    """Which bytes, and how to get at them."""

    version_id: str | None = Field(
        None, min_length=1, max_length=1024, description="An earlier version; `null` for one from before versioning."
    )
    redirect: bool = Field(True, description="`false`: answer the link with 200 instead of redirecting to it.")
    inline: bool = Field(
        False, description="Have browsers show it rather than save it. Never granted to types that a browser executes."
    )


class FileReplace(Input):
    """All that a client may say of a file; what is left out falls back to its default."""

    model_config = example(name="Übersicht 1.pdf", metadata={"project": "apollo"}, tags=["holiday", "2026"])

    name: FileName
    session_id: SessionId | None = None
    metadata: Metadata = Field(default_factory=dict)
    tags: Tags = Field(default_factory=list)


class FilePatch(Input):
    """Some fields of a file. A null session takes it out of its session; metadata and tags are replaced as a whole."""

    model_config = example(tags=["holiday", "2026"])

    name: FileName = Field(default_factory=absent)
    session_id: SessionId | None = None
    metadata: Metadata = Field(default_factory=absent)
    tags: Tags = Field(default_factory=absent)


class UploadFields(Input):
    """What a multipart form says of the files in it, read from its fields."""

    session_id: SessionId | None = None
    metadata: Metadata = Field(default_factory=dict)
    tags: Tags = Field(default_factory=list)
    names: list[FileName]


class UploadForm(Input):
    """A form with files: every part that has a file name is one, whatever its field is called."""

    file: list[bytes] = Field(
        min_length=1,
        # The first is what OpenAPI 3.1 says, the second what Swagger UI and generators of clients still go by.
        json_schema_extra={
            "items": {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"}
        },
        description="One or many.",
    )
    session_id: SessionId | None = Field(None, description="Opened if the caller has none of this id.")
    metadata: str = Field("{}", description="A JSON object, given to each file.", examples=['{"project": "apollo"}'])
    tags: list[str] = Field([], description="One field for each tag; given to each file.", examples=[[]])


class FileOut(Output):
    """One file: its place in S3, what its current version is, and what its owner says of it."""

    id: UUID
    bucket: str
    key: str
    version_id: str | None = Field(description="Empty in a bucket without versions; null unless stored.")
    name: str
    size: int | None = Field(description="In bytes; null unless stored.")
    etag: str | None
    media_type: str | None = Field(description="As declared, or as detected where nobody declared it.")
    detected_media_type: str | None = Field(description="What its first bytes say, once read.")
    is_mismatch: bool = Field(description="Its bytes are not of the type that it was declared to be.")
    sha256: str | None = Field(description="In base64; only where S3 has verified it.")
    state: Literal["pending", "stored", "deleted"]
    owner_id: UUID | None = Field(description="Null if somebody put it straight into the bucket.")
    session_id: str | None
    metadata: dict[str, Any]
    tags: list[str]
    stored_at: datetime | None = Field(description="When S3 took the current version.")
    created_at: datetime
    updated_at: datetime


class UploadStateOut(Output):
    """How a pending file's bytes are to come, or why they did not come."""

    method: Literal["put", "post", "multipart"]
    size: int | None = Field(description="Bytes that were announced.")
    media_type: str | None
    sha256: str | None
    expires_at: datetime = Field(description="From then on it counts as abandoned.")
    problem: str | None = Field(description="What went wrong last.")


class FileDetail(FileOut):
    """One file, with what is known of its upload."""

    upload: UploadStateOut | None = Field(None, description="Null once the bytes are there.")


class VersionOut(Output):
    """One version of a file's object, or a delete marker."""

    version_id: str = Field(description="Empty in a bucket without versions.")
    is_current: bool
    is_delete_marker: bool
    removed: bool = Field(description="It is gone from S3 for good.")
    size: int | None
    etag: str | None
    media_type: str | None
    inspection: dict[str, Any] | None = Field(
        description="What S3's headers and the first bytes tell, once read: content_type, metadata (the uploader's), "
        "storage_class, checksums, detected_media_type, and an image's width and height in pixels."
    )
    inspection_problem: str | None = Field(
        None, description="Why it could not be inspected. `POST /api/files/{id}/inspect` tries it again."
    )
    stored_at: datetime | None


class EventOut(Output):
    """One change of a file's key, as S3 told it."""

    id: int
    change: Literal["put", "marker", "removal", "purge"]
    event_name: str
    version_id: str
    sequencer: str = Field(description="S3's own order of the changes of a key; empty if it sent none.")
    size: int | None
    etag: str | None
    event_time: datetime | None
    recorded_at: datetime


class DownloadOut(Output):
    """A link that needs no other credentials."""

    url: str
    expires_at: datetime
