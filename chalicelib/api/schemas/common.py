"""Schemas and field types that several resources share."""

import unicodedata
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from chalicelib.catalog.metadata_sizes import printed_bytes

MAX_METADATA_BYTES = 64 * 1024
MAX_METADATA_DEPTH = 8

ItemT = TypeVar("ItemT")


class Input(BaseModel):
    """Base of everything a client sends: unknown fields are refused. Built at first use, to keep cold starts short."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class Output(BaseModel):
    """Base of everything a client receives; reads attributes, so that models can be handed over as they are."""

    # An answer has every field, even one that has a default here.
    model_config = ConfigDict(from_attributes=True, defer_build=True, json_schema_serialization_defaults_required=True)


def example(**fields: Any) -> ConfigDict:
    """The body that a documentation page sends when somebody just presses the button: nothing that does harm."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


MediaTypePattern = Annotated[
    str, StringConstraints(max_length=255, pattern=r"^[!#$&^_.+A-Za-z0-9*-]+/[!#$&^_.+A-Za-z0-9*-]+$")
]


def within_bytes(most: int) -> AfterValidator:
    """Texts of up to ``most`` bytes in UTF-8."""

    def check(text: str) -> str:
        if len(text.encode()) > most:
            raise ValueError(f"Longer than {most} bytes.")
        return text

    return AfterValidator(check)


def without_controls(text: str) -> str:
    """``text``, unless it holds a control character."""
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("Holds a control character.")
    return text


# For the OpenAPI document: the same, and that something is left when blanks are taken from both ends.
NO_CONTROLS = {"pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}
SOMETHING = {"pattern": r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"}


class Nothing(Input):
    """No parameters at all."""


class PageQuery(Input):
    """Parameters of every list."""

    limit: int = Field(100, ge=1, le=1000, description="How many items the page may have.")
    cursor: str | None = Field(None, max_length=12_000, description="`next_cursor` of the page before.")


class Page(Output, Generic[ItemT]):
    """One page of a list. The `Link` header's `next` leads to the next one, or ask for it with `cursor`."""

    items: list[ItemT]
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last one.")


class FieldProblemOut(Output):
    """One wrong field."""

    where: str = Field(description="`body`, `query`, `path` or `header`.")
    field: str = Field(description="Dotted path of the field.")
    message: str


class Problem(Output):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="The kind of problem, which never changes. This path tells about it.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="Path of the request.")
    request_id: str = Field(description="Finds the request's log lines.")
    errors: list[FieldProblemOut] = Field([], description="The wrong fields, if the problem is about fields.")


def absent() -> Any:
    """Default factory of a patch's field that may be left out but not be null.

    The default is never read, because patches are dumped without the fields that were left out.
    """
    return None


def _bounded(metadata: dict[str, Any]) -> dict[str, Any]:
    if _depth(metadata) > MAX_METADATA_DEPTH:
        raise ValueError(f"Nested deeper than {MAX_METADATA_DEPTH} levels.")
    if printed_bytes(metadata) > MAX_METADATA_BYTES:
        raise ValueError(f"Longer than {MAX_METADATA_BYTES} bytes of JSON, with its numbers written out.")
    return metadata


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


class LimitsBody(Input):
    """What may be uploaded. Null or left out: no limit of its own."""

    max_file_bytes: int | None = Field(None, ge=0, lt=2**63, description="For each file.")
    media_types: list[MediaTypePattern] | None = Field(
        None, max_length=100, description="Types that are allowed.", examples=[["image/*", "application/pdf"]]
    )
    max_bytes: int | None = Field(
        None, ge=0, lt=2**63, description="For all files together. Pending files count with their reservations."
    )
    max_files: int | None = Field(None, ge=0, lt=2**63)
    refuse_mismatch: bool | None = Field(
        None, description="Delete files whose bytes are not of the type that they were declared to be."
    )

    def document(self) -> dict[str, Any]:
        """The limits as users and sessions keep them: see `chalicelib.catalog.limits.Limits`."""
        return self.model_dump(exclude_none=True)


class UsageOut(Output):
    """What counts towards quotas, and what S3 still holds of deleted and overwritten files until the trash is emptied.

    A pending file counts with its reservation.
    """

    files: int
    bytes: int
    trash_versions: int = Field(
        description="Versions of deleted files, and older versions of other files, that S3 holds. They count towards no quota."
    )
    trash_bytes: int


# A JSON object of the client's own: up to 64 KiB serialised, at most eight levels deep (`{}` is one).
Metadata = Annotated[
    dict[str, Any],
    AfterValidator(_bounded),
    Field(
        description="Any JSON object, up to 64 KiB (numbers without exponents) and eight levels deep.",
        examples=[{"project": "apollo"}],
    ),
]
