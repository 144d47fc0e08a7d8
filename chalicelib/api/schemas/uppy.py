"""What Uppy sends and receives. Names are Uppy's, camel case and all; what it sends besides is ignored."""

import re
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from chalicelib.api.schemas.common import Input, Metadata, Output, example, within_bytes
from chalicelib.api.schemas.files import FileName, IntoSession
from chalicelib.api.schemas.uploads import MediaType, Sha256
from chalicelib.catalog.keys import MAX_KEY_BYTES
from chalicelib.catalog.parts import MAX_OBJECT_BYTES, MAX_PART_BYTES, MAX_PARTS
from chalicelib.services.uploads.uppy import Verb

Key = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_KEY_BYTES),
    within_bytes(MAX_KEY_BYTES),
    Field(description="As the server answered it."),
]
UploadId = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
_NAMED = re.compile(r"metadata\[(.*)\]")
# Uppy's own entries, and what its version 6 writes where an entry is missing.
_UPPYS = {"name", "type", "relativePath"}
_MISSING = {"null", "undefined", "", None}


class ParamsQuery(Input):
    """A file to send in one request. Further parameters are `metadata[<name>]`; `metadata[session_id]` names its session."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    filename: FileName
    type: MediaType | Literal[""] | None = Field(None, description="Its media type.")

    @model_validator(mode="after")
    def _knows_all(self) -> "ParamsQuery":
        unknown = [name for name in self.model_extra or {} if not _NAMED.fullmatch(name)]
        if unknown:
            raise ValueError(f"Unknown: {', '.join(unknown[:5])}; what is said of the file is called metadata[<name>].")
        return self

    def metadata(self) -> dict[str, str]:
        """The values of ``metadata[...]``."""
        extra = self.model_extra or {}
        return {found[1]: value for name, value in extra.items() if (found := _NAMED.fullmatch(name))}


class FormOut(Output):
    """A form to POST."""

    method: Literal["POST"]
    url: str
    fields: dict[str, str]
    expires: int = Field(description="Seconds.")


class MultipartCreate(Input):
    """A file to send in parts."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    filename: FileName
    type: MediaType | Literal[""] | None = None
    metadata: Metadata = Field(default_factory=dict)


class MultipartOut(Output):
    """Where the parts go."""

    key: str
    uploadId: str
    bucket: str


class UploadPath(Input):
    """Which upload."""

    upload_id: UploadId


class PartPath(UploadPath):
    """Which part."""

    part_number: int = Field(ge=1, le=MAX_PARTS)


class KeyQuery(Input):
    """Which key."""

    key: Key


class BatchQuery(KeyQuery):
    """Which parts."""

    partNumbers: str = Field(pattern=r"^\d{1,5}(,\d{1,5})*$", max_length=6000, examples=["1,2,3"])


class HeldPartOut(Output):
    """A part that S3 holds."""

    PartNumber: int
    ETag: str
    Size: int


class PartUrlOut(Output):
    """A part to PUT."""

    url: str
    expires: int = Field(description="Seconds.")


class PartUrlsOut(Output):
    """Parts to PUT, by their numbers."""

    presignedUrls: dict[int, str]


class SentPart(Input):
    """A part, with the ETag that S3 answered, with or without quotes."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    PartNumber: int = Field(ge=1, le=MAX_PARTS)
    ETag: str = Field(min_length=1, max_length=256)


class MultipartComplete(Input):
    """What the object is made of."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    parts: list[SentPart] = Field(max_length=MAX_PARTS)


class CompletedOut(Output):
    """The stored object; `id` is the file's."""

    location: str
    key: str
    bucket: str
    id: str


class SaidFile(Input):
    """What the client says about the file, if it says anything. With a size, S3 takes exactly so many bytes."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    name: FileName | None = None
    size: int | None = Field(None, ge=0, le=MAX_OBJECT_BYTES)
    type: MediaType | Literal[""] | None = None
    sha256: Sha256 | None = None
    partSize: int | None = Field(
        None, ge=1, le=MAX_PART_BYTES, description="Bytes of each part but the last, if `getChunkSize` was set."
    )
    meta: Metadata = Field(default_factory=dict)


class SignRequest(Input):
    """One request that Uppy wants to send to S3."""

    model_config = ConfigDict(extra="ignore", defer_build=True) | example(method="PUT", key="0b3d1c6e-photo.jpg")

    method: Verb
    key: Key
    uploadId: UploadId | None = None
    partNumber: int | None = Field(None, ge=1, le=MAX_PARTS)
    contentType: MediaType | Literal[""] | None = None
    file: SaidFile | None = None


class SignedOut(Output):
    """The signed request. `key` replaces the one that was proposed."""

    method: Verb
    url: str
    key: str
    headers: dict[str, str]
    fields: dict[str, str] | None = Field(description="Fields of a form, if it is to be POSTed instead of a PUT.")


class SessionNamed(IntoSession):
    """The session that a file's metadata names."""


def without_uppys_own(metadata: dict[str, Any]) -> dict[str, Any]:
    """``metadata`` without the entries that Uppy itself adds to it, and without those that say nothing."""
    return {name: value for name, value in metadata.items() if name not in _UPPYS and not _is_missing(value)}


def _is_missing(value: Any) -> bool:
    return isinstance(value, str | None) and value in _MISSING
