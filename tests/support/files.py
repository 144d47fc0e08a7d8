"""What tests of files share: forms to upload, and the events that S3 would send."""

from typing import Any
from uuid import uuid4

from sqlalchemy import Engine

from chalicelib.catalog.notifications import parse_message
from chalicelib.db.engine import transaction
from chalicelib.services.ingestion import record_notices
from tests.api.conftest import Answer, Api
from tests.notifications import NOON, body

BOUNDARY = "a-boundary"


def part(content: bytes, name: str = "file", filename: str | None = None, media_type: str | None = None) -> bytes:
    """One part of a form, as browsers write it."""
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        quoted = filename.replace('"', "%22")
        disposition += f'; filename="{quoted}"'
    lines = [f"--{BOUNDARY}", disposition]
    if media_type is not None:
        lines.append(f"Content-Type: {media_type}")
    return "\r\n".join([*lines, "", ""]).encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def send(api: Api, body: bytes, content_type: str = f"multipart/form-data; boundary={BOUNDARY}") -> Answer:
    return api("POST", "/api/files/upload", body=body, Content_Type=content_type)


def upload(api: Api, content: bytes = b"hello", filename: str = "hello.txt", *parts: bytes, **fields: str) -> Any:
    """Upload one file and say its document."""
    texts = [part(value.encode(), name) for name, value in fields.items()]
    answer = send(api, form(part(content, filename=filename), *parts, *texts))
    assert answer.status == 201, answer.body
    return answer.json[0]


def deliver(engine: Engine, *records: dict[str, Any]) -> None:
    """Record these events as `ingest` does."""
    with transaction(engine) as session:
        record_notices(session, parse_message(body(*records)), NOON)


def unique(name: str) -> str:
    return f"{name}-{uuid4()}"
