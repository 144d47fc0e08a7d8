"""Uploads straight to S3: announced to the API, sent as its plan says, completed."""

import base64
import hashlib
from typing import Any

import urllib3

from tests.support.api import Api

MIB = 1024 * 1024


def sha256(data: bytes) -> str:
    """A checksum as S3 and the API write it."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def begin(api: Api, name: str = "a.bin", **fields: Any) -> Any:
    """Announce a file and say its document, with the plan of its upload."""
    answer = api("POST", "/api/files", {"name": name, **fields})
    assert answer.status == 201, answer.body
    return answer.json


def send(plan: dict[str, Any], data: bytes, **headers: str) -> urllib3.BaseHTTPResponse:
    """Send the bytes as the plan says; ``headers`` (with underscores) replace some of its own."""
    if plan["method"] == "post":
        return send_fields(plan, data)
    sent = plan["headers"] | {name.replace("_", "-"): value for name, value in headers.items()}
    return urllib3.request("PUT", plan["url"], body=data, headers=sent)


def send_fields(form: dict[str, Any], data: bytes) -> urllib3.BaseHTTPResponse:
    """Send the bytes in a form whose fields the API has signed."""
    return urllib3.request("POST", form["url"], fields={**form["fields"], "file": ("whatever", data)})


def send_part(part: dict[str, Any], data: bytes, plan: dict[str, Any]) -> urllib3.BaseHTTPResponse:
    """Send one part of ``data`` as it was signed."""
    start = (part["number"] - 1) * plan["part_size"]
    return urllib3.request("PUT", part["url"], body=data[start : start + plan["part_size"]])


def put_part(url: str, data: bytes) -> str:
    """Send bytes to a link that was signed for a part; says the part's ETag."""
    answer = urllib3.request("PUT", url, body=data)
    assert answer.status == 200, answer.data
    return answer.headers["ETag"]


def complete(api: Api, file: dict[str, Any], **body: Any) -> Any:
    """Say that the bytes are there; says the document of the stored file."""
    answer = api("POST", f"/api/files/{file['id']}/complete", body)
    assert answer.status == 200, answer.body
    return answer.json


def store(api: Api, data: bytes, **fields: Any) -> Any:
    """Announce, send and complete a file of these bytes; says its document."""
    file = begin(api, size=len(data), **fields)
    assert send(file["plan"], data).status in (200, 201)
    return complete(api, file)
