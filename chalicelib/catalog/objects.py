"""What S3 says of objects, as types. Here because everybody reads them, and importing them costs nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """An object's headers. ``metadata`` is the user's, ``checksums`` are by algorithm, in base64."""

    size: int
    etag: str
    media_type: str | None
    metadata: dict[str, str]
    storage_class: str
    checksums: dict[str, str]
    last_modified: datetime | None
    version_id: str


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


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart upload as S3 holds it. ``number`` counts from 1, ``size`` is in bytes."""

    number: int
    etag: str
    size: int
    stored_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Current:
    """What the catalogue knows of a location: the id of its current version (an object or a delete marker), if there is one, and
    the highest rank of all its changes."""

    version_id: str | None
    rank: str


def whole_sha256(checksums: Mapping[str, str]) -> str | None:
    """The SHA-256 of the whole object among its checksums. With a hyphen it is that of the parts' own."""
    found = checksums.get("SHA256")
    return found if found and "-" not in found else None
