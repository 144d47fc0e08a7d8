"""Files, as clients send and receive them."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from chalicelib.api.schemas.common import NO_CONTROLS, Input, Metadata, Output, absent, example, without_controls
from chalicelib.api.schemas.sessions import SessionId
from chalicelib.catalog.changes import ChangeName
from chalicelib.catalog.files import FileState, UploadMethod

MAX_TAGS = 50
# API Gateway waits for 29 seconds.
MAX_WAIT_SECONDS = 20


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


class FilePath(Input):
    """Which file."""

    file_id: UUID


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
        False, description="Have browsers show it rather than save it. Types that a browser executes are always saved."
    )


class FileReplace(Input):
    """All that a client may say about a file. Fields that are left out get their defaults."""

    model_config = example(name="Übersicht 1.pdf", metadata={"project": "apollo"}, tags=["holiday", "2026"])

    name: FileName
    session_id: SessionId | None = None
    metadata: Metadata = Field(default_factory=dict)
    tags: Tags = Field(default_factory=list)


class IntoSession(Input):
    """Whose session a new file goes to."""

    session_id: SessionId | None = None
    owner_id: UUID | None = Field(None, description="Whose session, if it is one that is shared with the caller.")

    @model_validator(mode="after")
    def _names_a_session(self) -> Self:
        if self.owner_id is not None and self.session_id is None:
            raise ValueError("owner_id needs session_id.")
        return self


class FilePatch(Input):
    """Some fields of a file. A null session takes it out of its session; metadata and tags are replaced as a whole."""

    model_config = example(tags=["holiday", "2026"])

    name: FileName = Field(default_factory=absent)
    session_id: SessionId | None = None
    metadata: Metadata = Field(default_factory=absent)
    tags: Tags = Field(default_factory=absent)


class UploadFields(IntoSession):
    """What a multipart form says about the files in it, read from its fields."""

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
    owner_id: UUID | None = Field(
        # Swagger UI would make one up, and send it.
        None,
        description="Whose session, if it is one that is shared with the caller.",
        examples=[""],
    )
    metadata: str = Field("{}", description="A JSON object, given to each file.", examples=['{"project": "apollo"}'])
    tags: list[str] = Field([], description="One field for each tag; given to each file.", examples=[[]])


class FileOut(Output):
    """One file: its location in S3, its current version, and what its owner says about it."""

    id: UUID
    bucket: str
    key: str
    version_id: str | None = Field(description="Empty in a bucket without versions; null unless stored.")
    name: str
    size: int | None = Field(description="In bytes; null unless stored.")
    etag: str | None
    media_type: str | None = Field(description="As declared, or as detected if no type was declared.")
    detected_media_type: str | None = Field(description="As its first bytes show, once they are read.")
    is_mismatch: bool = Field(description="Its bytes are not of the type that it was declared to be.")
    sha256: str | None = Field(description="In base64; only where S3 has verified it.")
    state: FileState
    owner_id: UUID | None = Field(description="Null if somebody put it straight into the bucket.")
    session_id: str | None
    metadata: dict[str, Any]
    tags: list[str]
    stored_at: datetime | None = Field(description="When S3 took the current version.")
    created_at: datetime
    updated_at: datetime


class UploadStateOut(Output):
    """The upload of a file that isn't stored."""

    method: UploadMethod
    size: int | None = Field(description="Bytes that were announced.")
    media_type: str | None
    sha256: str | None
    expires_at: datetime = Field(description="From then on the upload counts as abandoned.")
    problem: str | None = Field(description="What went wrong last.")


class FileDetail(FileOut):
    """One file, with its upload."""

    upload: UploadStateOut | None = Field(None, description="Null once the bytes are there.")


class VersionOut(Output):
    """One version of a file's object, or a delete marker."""

    version_id: str = Field(description="Empty in a bucket without versions.")
    is_current: bool
    is_delete_marker: bool
    removed: bool = Field(description="S3 has permanently removed it.")
    size: int | None
    etag: str | None
    media_type: str | None
    inspection: dict[str, Any] | None = Field(
        description="What S3's headers and the first bytes tell, once they are read: content_type, metadata (the uploader's), "
        "storage_class, checksums, detected_media_type and more, such as an image's width and height in pixels."
    )
    inspection_problem: str | None = Field(
        None, description="Why it could not be inspected. `POST /api/files/{id}/inspect` tries it again."
    )
    stored_at: datetime | None


class EventOut(Output):
    """One change of a file's key, as S3 told it."""

    id: UUID
    change: ChangeName
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
