"""Landfall's own presigned GETs are botocore's, to the letter of the signature."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import boto3
import pytest
from botocore.config import Config

from chalicelib.store.presigning import Presigner

_NAMES = {
    "versionId": "VersionId",
    "response-content-type": "ResponseContentType",
    "response-content-disposition": "ResponseContentDisposition",
}
_CLIENTS: dict[str, dict[str, Any]] = {
    "aws": {},
    "another region": {"region_name": "eu-central-1"},
    "emulator": {"endpoint_url": "http://127.0.0.1:4566"},
    "usual port": {"endpoint_url": "https://store.example.com:443"},
    "below a path": {"endpoint_url": "https://store.example.com/s3"},
    "IPv6": {"endpoint_url": "http://[::1]:9000"},
    "lent rights": {"aws_session_token": "a+token/with=signs"},
    "a key with slashes": {"aws_access_key_id": "team/ada"},
}
_KEYS = [
    "a.pdf",
    "/leading//double/",
    "..",
    "a/../b/./c",
    "with space+plus%20percent",
    "?query#fragment&and=more",
    "ünï/日本/🙂",
    "~tilde!*'()[]{}|\\^`\"<>:;,@$",
    "\x01\x7f\n\t",
    "a" * 1024,
]


@pytest.fixture(params=_CLIENTS, scope="module")
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    options = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "secret"}
    given = _CLIENTS[request.param]
    style = "path" if "endpoint_url" in given else "virtual"
    config = Config(signature_version="s3v4", s3={"addressing_style": style})
    return boto3.client("s3", **options | given, config=config)


def _parts(url: str) -> tuple[str, str, str, list[tuple[str, str]]]:
    split = urlsplit(url)
    return split.scheme, split.netloc, split.path, sorted(parse_qsl(split.query, keep_blank_values=True))


def _check(client: Any, bucket: str, key: str, seconds: int = 900, **query: str) -> None:
    named = {_NAMES[name]: value for name, value in query.items()}
    theirs = client.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": key, **named}, ExpiresIn=seconds
    )
    made_at = dict(_parts(theirs)[3])["X-Amz-Date"]
    now = datetime.strptime(made_at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert _parts(Presigner(client).get(bucket, key, query, seconds, now)) == _parts(theirs)


@pytest.mark.parametrize("key", _KEYS)
@pytest.mark.parametrize("bucket", ["landfall", "with.dots"])
def test_every_key_in_every_bucket(client: Any, bucket: str, key: str) -> None:
    _check(client, bucket, key)


@pytest.mark.parametrize("seconds", [1, 604_800])
def test_every_version_name_and_type(client: Any, seconds: int) -> None:
    query = {
        "versionId": "3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo",
        "response-content-type": "text/html; charset=utf-8",
        "response-content-disposition": "attachment; filename=\"a b.txt\"; filename*=UTF-8''%C3%A9 ~.txt",
    }
    _check(client, "landfall", "a.txt", seconds, **query)


def test_what_was_found_for_a_bucket_serves_for_its_next_link(client: Any) -> None:
    presigner, now = Presigner(client), datetime(2026, 11, 29, 12, tzinfo=UTC)
    first = presigner.get("landfall", "a", {}, 60, now)
    assert presigner.get("landfall", "a", {}, 60, now) == first
    assert presigner.get("with.dots", "a", {}, 60, now) != first
