"""Files of an API under test: uploaded by a form, looked at, and acted on."""

import urllib.request
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from tests.support.api import Answer, Api
from tests.support.waiting import eventually

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


def send_form(api: Api, body: bytes, content_type: str = f"multipart/form-data; boundary={BOUNDARY}") -> Answer:
    return api("POST", "/api/files/upload", body=body, Content_Type=content_type)


def upload(api: Api, content: bytes = b"hello", filename: str = "hello.txt", *parts: bytes, **fields: str) -> Any:
    """Upload one file through the API and say its document."""
    texts = [part(value.encode(), name) for name, value in fields.items()]
    answer = send_form(api, form(part(content, filename=filename), *parts, *texts))
    assert answer.status == 201, answer.body
    return answer.json[0]


def read(api: Api, file: dict[str, Any], **query: str) -> bytes:
    """The bytes that a download leads to."""
    answer = api("GET", f"/api/files/{file['id']}/download?{urlencode({'redirect': 'false', **query})}")
    assert answer.status == 200, answer.body
    body: bytes = urllib.request.urlopen(answer.json["url"]).read()
    return body


def act(api: Api, file: dict[str, Any], action: str, document: Any = None, status: int = 200) -> Any:
    """POST to a file's copy, move, restore and the like; says the answer's document."""
    answer = api("POST", f"/api/files/{file['id']}/{action}", document or {})
    assert answer.status == status, answer.body
    return answer.json


def ended(api: Api, job: dict[str, Any]) -> Any:
    """A job's document once it has ended: a busy machine may take longer than a request waits."""

    def look() -> Any:
        return api("GET", f"/api/jobs/{job['id']}").json

    assert eventually(lambda: look()["state"] not in ("queued", "running"))
    return look()


def detail(api: Api, file: dict[str, Any]) -> Any:
    """A file's document as it is now."""
    return api("GET", f"/api/files/{file['id']}").json


def versions(api: Api, file: dict[str, Any]) -> list[Any]:
    """The versions of a file, the newest first."""
    return list(api("GET", f"/api/files/{file['id']}/versions").json["items"])


def find_by_key(api: Api, key: str) -> Any:
    """The file at a key, in whatever state it is."""
    (file,) = api("GET", f"/api/files?{urlencode({'key': key, 'state': 'any'})}").json["items"]
    return file


def key_of(member: Api, name: str) -> str:
    """A key that this member may use, and nobody has yet."""
    return f"{member.user_id}/{uuid4()}/{name}"


def unique(name: str) -> str:
    return f"{name}-{uuid4()}"
