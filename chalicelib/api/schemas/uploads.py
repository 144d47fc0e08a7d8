"""Direct uploads, as clients send and receive them."""

import binascii
from base64 import b64decode
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from chalicelib.api.schemas.common import Input, Output, example
from chalicelib.api.schemas.files import FileDetail, FileOut, FileReplace, IntoSession
from chalicelib.catalog.files import UploadMethod
from chalicelib.catalog.parts import MAX_OBJECT_BYTES, MAX_PART_BYTES, MAX_PARTS
from chalicelib.services.uploads.direct import PlannedUpload, UploadPlan

MAX_PARTS_AT_ONCE = 1000


def _is_sha256(text: str) -> str:
    try:
        if len(b64decode(text, validate=True)) == 32:
            return text
    except binascii.Error:
        pass
    raise ValueError("Must be the 32 bytes of a SHA-256 in base64.")


Sha256 = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9+/]{43}=$",
        description="Of the whole file, in base64.",
        examples=["LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="],
    ),
    AfterValidator(_is_sha256),
]
MediaType = Annotated[
    str,
    StringConstraints(max_length=255, pattern=r"^[!#$&^_.+A-Za-z0-9-]+/[!#$&^_.+A-Za-z0-9-]+([ \t]*;[ -~]*)?$"),
    Field(examples=["image/png"]),
]
PartNumber = Annotated[int, Field(ge=1, le=MAX_PARTS)]


class FileCreate(FileReplace, IntoSession):
    """A file whose bytes are to come. The session is opened if the caller has none of this id."""

    model_config = example(name="photo.jpg", size=48_213, media_type="image/jpeg")

    size: int | None = Field(None, ge=0, le=MAX_OBJECT_BYTES, description="In bytes. S3 then takes exactly so many.")
    media_type: MediaType | None = None
    sha256: Sha256 | None = None
    method: UploadMethod | None = Field(None, description="Left out: `multipart` above 100 MiB, else `put`.")
    dedupe: bool = Field(
        False,
        description="If the caller has a stored file of this `sha256`, up to 1 GiB: copy that, and send no bytes.",
    )


class UploadPlanOut(Output):
    """How to send the bytes. All `headers` must be sent as they are, all `fields` before the file's own field, `file`."""

    method: UploadMethod
    url: str | None = Field(None, description="Where to send one request; null for `multipart`.")
    headers: dict[str, str] = Field(default_factory=dict)
    fields: dict[str, str] = Field(default_factory=dict)
    link_expires_at: datetime | None = Field(None, description="A later request is refused; ask for a fresh link.")
    upload_id: str | None = Field(None, description="S3's own id of a multipart upload.")
    part_size: int | None = Field(None, description="Bytes of each part but the last.")
    part_count: int | None = Field(None, description="Null if no size was given.")
    expires_at: datetime = Field(description="From then on the upload counts as abandoned.")

    @classmethod
    def of(cls, plan: UploadPlan) -> "UploadPlanOut":
        """A plan, with the members of its request beside the rest."""
        fields = asdict(plan)
        request = fields.pop("request") or {}
        return cls(**fields, **{name: request[name] for name in ("url", "headers", "fields") if name in request})


class FileBegun(FileDetail):
    """A new file, how to send its bytes, and a duplicate of it."""

    plan: UploadPlanOut | None = Field(description="Null if there are no bytes to send.")
    duplicate: FileOut | None = Field(None, description="A stored file with the same `sha256` and the same owner.")

    @classmethod
    def of(cls, planned: PlannedUpload) -> "FileBegun":
        """A file with its plan."""
        duplicate = None if planned.duplicate is None else FileOut.model_validate(planned.duplicate)
        plan = None if planned.plan is None else UploadPlanOut.of(planned.plan)
        return cls(**dict(FileDetail.model_validate(planned.file)), plan=plan, duplicate=duplicate)


class PartsSign(Input):
    """Which parts to sign."""

    part_numbers: list[PartNumber] = Field(min_length=1, max_length=MAX_PARTS_AT_ONCE, examples=[[1, 2, 3]])
    size: int | None = Field(
        None,
        ge=0,
        le=MAX_PART_BYTES,
        description="Bytes of each of these parts, if the upload's size wasn't announced. Left out: any number.",
    )


class SignedPartOut(Output):
    """A part to PUT."""

    number: int
    size: int | None = Field(description="Exactly so many bytes; null: as many as the client likes.")
    url: str


class SignedPartsOut(Output):
    """Parts to PUT before `link_expires_at`."""

    parts: list[SignedPartOut]
    link_expires_at: datetime


class PartOut(Output):
    """A part that S3 holds."""

    number: int
    etag: str
    size: int


class PartsOut(Output):
    """The parts that S3 holds, in order."""

    parts: list[PartOut]


class PartNamed(Input):
    """A part, with the ETag that S3 answered."""

    number: PartNumber
    etag: str = Field(min_length=1, max_length=256)


class UploadComplete(Input):
    """What the object is made of."""

    model_config = example()

    parts: list[PartNamed] | None = Field(
        None, max_length=MAX_PARTS, description="Of a multipart upload; left out: all parts that S3 holds."
    )
