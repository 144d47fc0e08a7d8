"""What S3 says about objects, as types. They are here because every package uses them, and importing them costs nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal, NamedTuple


class Location(NamedTuple):
    """Where an object is."""

    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """An object's headers. ``metadata`` is the user's, ``checksums`` are by algorithm, in base64.

    ``locked_until``: Object Lock keeps this version until then; None if it doesn't, or doesn't tell us. ``is_held``: it keeps it
    until somebody ends that (a legal hold).
    """

    size: int
    etag: str
    media_type: str | None
    metadata: dict[str, str]
    storage_class: str
    checksums: dict[str, str]
    last_modified: datetime | None
    version_id: str
    locked_until: datetime | None = None
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What S3 answers to a put: ``version_id`` is empty without versioning, ``stored_at`` is S3's clock, ``sha256`` (base64) is
    what S3 has verified."""

    version_id: str
    etag: str
    size: int
    stored_at: datetime
    sha256: str


@dataclass(frozen=True, slots=True)
class Deletion:
    """What S3 answers to a deletion. If it made a delete marker, ``version_id`` is the marker's."""

    version_id: str
    is_marker: bool
    at: datetime


class ListedVersion(NamedTuple):
    """A version or delete marker as ``ListObjectVersions`` shows it."""

    key: str
    version_id: str
    is_marker: bool
    is_latest: bool
    modified: datetime
    size: int | None
    etag: str


VersioningStatus = Literal["never", "enabled", "suspended"]


@dataclass(frozen=True, slots=True)
class Guarantees:
    """What an object store honours of what S3 promises. A store that doesn't honour a condition ignores it.

    Attributes:
        conditional_put: ``If-None-Match: *`` of a PUT, also in a versioned bucket.
        conditional_copy: ``If-None-Match`` and ``If-Match`` of a copy, about what is at its destination.
        conditional_completion: the same when a multipart upload is completed.
        conditional_delete: ``If-Match`` of a DELETE.
        conditional_bulk_delete: the ETag of each object that a bulk deletion names.
        copy_source: the condition of a copy that its source has a certain ETag.
        part_source: the same when a part is copied.
        checksums: ``x-amz-checksum-sha256`` is compared with the bytes, and kept.
    """

    conditional_put: bool = False
    conditional_copy: bool = False
    conditional_completion: bool = False
    conditional_delete: bool = False
    conditional_bulk_delete: bool = False
    copy_source: bool = False
    part_source: bool = False
    checksums: bool = False

    @property
    def missing(self) -> list[str]:
        """The names of what the store ignores."""
        return [guarantee.name for guarantee in fields(self) if not getattr(self, guarantee.name)]


@dataclass(frozen=True, slots=True)
class Probed:
    """What is known of a store's guarantees. ``problem`` says why it could not be tried; ``at`` is None for AWS."""

    guarantees: Guarantees
    at: datetime | None = None
    problem: str | None = None


# What AWS promises, and nobody need check.
EVERYTHING = Guarantees(True, True, True, True, True, True, True, True)
# What is assumed of a store that could not be tried.
NOTHING = Guarantees()


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart upload as S3 holds it. ``number`` counts from 1, ``size`` is in bytes."""

    number: int
    etag: str
    size: int
    stored_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an object's headers and first bytes tell.

    Attributes:
        media_type: the best answer: as declared, or as detected where nobody has declared it.
        size: bytes.
        etag: of what was inspected.
        facts: everything that was found, as JSON; `chalicelib.store.inspection.inspect_object` says what.
    """

    media_type: str | None
    size: int
    etag: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Current:
    """What the catalogue knows of a location: the id of its current version (an object or a delete marker), if there is one, and
    the highest rank of all its changes."""

    version_id: str | None
    rank: str


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """A version that S3 holds, and where. ``put_rank`` is the rank of its put, ``size`` is in bytes.

    ``is_uninspected``: its inspection is due, or has failed. ``is_mismatch``: its bytes are not of the type that it was
    declared to be.
    """

    bucket: str
    key: str
    version_id: str
    put_rank: str
    size: int | None = None
    etag: str | None = None
    media_type: str | None = None
    is_uninspected: bool = False
    is_mismatch: bool = False
    is_marker: bool = False

    @property
    def source(self) -> "Source":
        """This version, for S3 to copy. An empty id becomes ``null``: without an id, S3 would copy the current version."""
        return Source(self.bucket, self.key, self.version_id or "null", self.etag or "", self.size or 0)


@dataclass(frozen=True, slots=True)
class DeleteMarker:
    """A delete marker, by its version id and the rank of its put."""

    version_id: str
    put_rank: str


@dataclass(frozen=True, slots=True)
class HiddenObject:
    """The newest object of a deleted file, and the delete markers above it: once those are removed, it is current again."""

    version: ObjectVersion
    markers: list[DeleteMarker]


@dataclass(frozen=True, slots=True)
class Source:
    """The object to copy: this version. Without versions (empty id), it is copied only as long as it has this ETag.

    The same goes for the version that S3 calls ``null``, if its ETag is known: another object may come in its place.
    """

    bucket: str
    key: str
    version_id: str
    etag: str
    size: int

    @property
    def is_fixed(self) -> bool:
        """Whether its version id can't ever name another object."""
        return bool(self.version_id) and (self.version_id != "null" or not self.etag)


@dataclass(frozen=True, slots=True)
class Copied:
    """The object that a copy made: its version id (empty without versions) and its ETag."""

    version_id: str
    etag: str


@dataclass(frozen=True, slots=True)
class CopyUpload:
    """The multipart upload in which S3 copies an object, by which another process can go on with it.

    ``modified`` is when the source was stored, by S3's clock. ``part_bytes`` is the size of each part but the last.
    """

    location: Location
    upload_id: str
    source: Source
    modified: datetime
    part_bytes: int


@dataclass(frozen=True, slots=True)
class Over:
    """What a copy may replace: the object with this ETag, or without ``etag`` nothing at all."""

    etag: str = ""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request for the client to send. All ``headers`` must be sent as they are; ``fields`` are those of a form."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)


def whole_sha256(checksums: Mapping[str, str]) -> str | None:
    """The SHA-256 of the whole object, if it is among its checksums. One with a hyphen is made from those of the parts."""
    found = checksums.get("SHA256")
    return found if found and "-" not in found else None
