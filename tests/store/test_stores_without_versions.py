"""Stores that keep no versions, and know no requests for them: their objects are the only versions of their keys."""

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from urllib3 import HTTPResponse

from chalicelib.catalog.objects import NOTHING
from chalicelib.store.client import ObjectStore
from chalicelib.store.versions import Versions
from tests.support.object_stores import Server


@pytest.fixture
def without_versions(client: Any) -> Iterator[None]:
    """As a store that has no versions answers: it knows neither their listing nor their ids."""
    events = {
        "before-send.s3.ListObjectVersions": lambda **_: True,
        "before-send.s3.HeadObject": lambda request, **_: "versionId" in request.url,
    }

    def refusing(is_refused: Callable[..., bool]) -> Callable[..., AWSResponse | None]:
        def refuse(request: Any, **_: Any) -> AWSResponse | None:
            if not is_refused(request=request):
                return None
            text = b"<Error><Code>NotImplemented</Code><Message>There are no versions.</Message></Error>"
            raw = HTTPResponse(BytesIO(text), preload_content=False)
            return AWSResponse(request.url, 501, {"Content-Type": "application/xml"}, raw)

        return refuse

    handlers = {event: refusing(is_refused) for event, is_refused in events.items()}
    for event, handler in handlers.items():
        client.meta.events.register(event, handler)
    yield
    for event, handler in handlers.items():
        client.meta.events.unregister(event, handler)


@pytest.fixture
def versions(client: Any) -> Versions:
    return ObjectStore(client, client, lambda: NOTHING).versions


@pytest.fixture
def bucket(server: Server) -> Iterator[str]:
    with server.bucket("plain") as name:
        yield name


@pytest.mark.usefixtures("without_versions")
def test_where_there_are_no_versions_objects_are_listed(client: Any, versions: Versions, bucket: str) -> None:
    keys = ["a", "a b+c%2F", "d/1", "d/2", "ü🎉", "z"]
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())

    listed = [entry for page in versions.pages(bucket) for entry in page]
    assert [(entry.key, entry.version_id, entry.is_latest, entry.size) for entry in listed] == [
        (key, "", True, len(key.encode())) for key in sorted(keys, key=str.encode)
    ]
    assert [entry.key for page in versions.pages(bucket, "d/", "d/1") for entry in page] == ["d/2"]
    assert [len(versions.of_key(bucket, key)) for key in ("a", "d/", "nothing")] == [1, 0, 0]
    assert versions.first_key(bucket, "", "d") == "d/1"
    assert (versions.is_there(bucket, "a", ""), versions.is_there(bucket, "nothing", "")) == (True, False)
