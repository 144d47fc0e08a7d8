"""Files as types: one for each (bucket, key), with its current version and with what its owner says about it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from chalicelib.catalog.objects import Current, Location, Source

FileState = Literal["pending", "stored", "deleted"]
# What a list is narrowed to: "any" also shows deleted files.
ListedState = Literal[FileState, "any"]
UploadMethod = Literal["put", "post", "multipart"]


@dataclass(frozen=True, slots=True)
class UploadState:
    """The upload of a file that isn't stored. ``problem`` says why its bytes have not come, if something went wrong.

    ``size`` (in bytes), ``media_type`` and ``sha256`` are what was announced. ``multipart_id`` is S3's own id of a multipart
    upload, and ``part_size`` has the bytes of each part but the last.
    """

    method: UploadMethod
    size: int | None
    media_type: str | None
    sha256: str | None
    expires_at: datetime
    problem: str | None
    multipart_id: str | None
    part_size: int | None


@dataclass(frozen=True, slots=True)
class File:
    """One file.

    Attributes:
        version_id: of the current version; empty in a bucket without versions, None unless the file is stored.
        size: bytes; None unless the file is stored.
        sha256: in base64; only where S3 has verified it.
        rank: of the current version, which may be a delete marker; empty if there is none.
        revision: identifies this state of the row. The part before the hyphen changes when a client or an event changes
            the file. The part after it changes at every change of the row, also when the file is inspected.
        upload: None once the bytes are there.
    """

    id: UUID
    bucket: str
    key: str
    version_id: str | None
    name: str
    size: int | None
    etag: str | None
    media_type: str | None
    detected_media_type: str | None
    is_mismatch: bool
    sha256: str | None
    state: FileState
    owner_id: UUID | None
    session_id: str | None
    metadata: dict[str, Any]
    tags: list[str]
    stored_at: datetime | None
    created_at: datetime
    updated_at: datetime
    upload: UploadState | None
    rank: str
    revision: str

    @property
    def location(self) -> Location:
        """Where its object is."""
        return Location(self.bucket, self.key)

    @property
    def current(self) -> Current:
        """Its current version, for the observation of a change that follows it."""
        return Current(self.version_id, self.rank)

    @property
    def source(self) -> Source:
        """Its current version, for S3 to copy."""
        return Source(self.bucket, self.key, self.version_id or "", self.etag or "", self.size or 0)

    def is_same_object(self, other: "File") -> bool:
        """Whether both are the same object at the same location."""
        mine, theirs = ((file.bucket, file.key, file.version_id, file.etag) for file in (self, other))
        return mine == theirs
