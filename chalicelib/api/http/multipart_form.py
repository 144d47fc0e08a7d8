"""Reading ``multipart/form-data`` (RFC 7578) that carries files."""

import re
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from mimetypes import MimeTypes
from typing import Any
from urllib.parse import unquote

from multipart import MultipartError, MultipartParser, ParserLimitReached, parse_options_header

from chalicelib.errors import FieldProblem, InvalidInput, MalformedBody, TooLarge

# A Lambda function takes 6 MiB, with the body in base64, which makes 4/3 of it: 6,000,000 bytes. The rest is for the
# headers.
MAX_BODY_BYTES = 4_500_000
MAX_PARTS = 100
_MAX_FIELD_BYTES = 64 * 1024
DEFAULT_MEDIA_TYPE = "application/octet-stream"

_TOKEN = r"[A-Za-z0-9!#$&^_.+-]{1,127}"
_MEDIA_TYPE = re.compile(f"{_TOKEN}/{_TOKEN}")
# RFC 7578 forbids this form; old clients send it all the same, for names that aren't ASCII.
_EXTENDED_NAME = re.compile(r";\s*filename\*\s*=\s*utf-8'[^']*'([^;\s]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file in a form: its name as sent, and the type that it was sent with or that its name suggests."""

    name: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """A form's files, and the values of its other fields, in their order."""

    files: list[FilePart]
    fields: dict[str, list[str]]


def parse_form(body: bytes, content_type: str) -> Form:
    """Read a form. Empty file inputs, which browsers send without a name and bytes, are left out.

    Raises:
        TooLarge: more than `MAX_BODY_BYTES` in all.
        MalformedBody: no boundary, not a complete form, or more than `MAX_PARTS` parts.
        InvalidInput: a field is not UTF-8 or too long; a file has no name.
    """
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge(
            f"The body has {len(body)} bytes, and this route takes {MAX_BODY_BYTES}."
            " Larger files go straight to S3: POST /api/files answers how to send them."
        )
    form = Form([], {})
    for part in _parts(body, content_type):
        name = _file_name(part)
        if name is None:
            form.fields.setdefault(part.name, []).append(_text(part))
        elif name or part.size:
            form.files.append(FilePart(name, _media_type(part, name), part.raw))
    return form


def _parts(body: bytes, content_type: str) -> list[Any]:
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not boundary:
        raise MalformedBody("The Content-Type names no boundary.")
    if not body:
        raise MalformedBody("The body is empty; a form with files is expected.")
    try:
        parser = MultipartParser(
            BytesIO(body),
            boundary,
            len(body),
            part_limit=MAX_PARTS,
            # All in memory, where it is already: no temporary files.
            spool_limit=MAX_BODY_BYTES,
            memory_limit=MAX_BODY_BYTES,
        )
        return list(parser.parts())
    except ParserLimitReached as error:
        raise MalformedBody(f"The form has more than {MAX_PARTS} parts, or a part's headers are too long.") from error
    except (MultipartError, UnicodeError) as error:
        raise MalformedBody("The body is no complete multipart form with this boundary.") from error


def _file_name(part: Any) -> str | None:
    extended = _EXTENDED_NAME.search(part.disposition)
    if extended is None:
        name: str | None = part.filename
        return name
    try:
        return unquote(extended[1], errors="strict")
    except UnicodeDecodeError:
        raise InvalidInput("A file's name is not UTF-8.", (FieldProblem("body", "filename", "Not UTF-8."),)) from None


def _text(part: Any) -> str:
    if part.size > _MAX_FIELD_BYTES:
        problem = FieldProblem("body", part.name, f"Longer than {_MAX_FIELD_BYTES} bytes, and not a file.")
        raise InvalidInput("A field of the form is too long.", (problem,))
    try:
        return bytes(part.raw).decode()
    except UnicodeDecodeError:
        problem = FieldProblem("body", part.name, "Not UTF-8.")
        raise InvalidInput("A field of the form is not UTF-8.", (problem,)) from None


def _media_type(part: Any, name: str) -> str:
    told = part.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    # curl sends the default type for every file whose ending it doesn't know, so that type says nothing.
    if _MEDIA_TYPE.fullmatch(told) and told != DEFAULT_MEDIA_TYPE:
        return str(told)
    return _types().guess_type(name)[0] or DEFAULT_MEDIA_TYPE


@cache
def _types() -> Any:
    """Python's own table of types. The machine's would differ between a laptop and the cloud."""
    return MimeTypes()
