"""Both generations of Uppy, as npm has them, in a real browser against the running stack."""

import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import pytest

from tests.support.browser import Browser
from tests.support.stacks import Stack
from tests.support.waiting import eventually

MIB = 1024 * 1024
UPPYS = ["uppy 5", "uppy 6", "uppy 6 sign"]
PART = "s3-multipart:part-uploaded"


def combined(*uppys: str) -> list[tuple[str, str]]:
    """Stack and Uppy. On other stores runs the Uppy that asks most of them: it begins, lists, completes and aborts uploads
    itself."""
    return [*(("local", uppy) for uppy in uppys), ("minio", "uppy 6 sign"), ("ceph", "uppy 6 sign")]


every_kind = pytest.mark.parametrize(("stack", "kind"), combined(*UPPYS), indirect=True)
no_companion_6 = pytest.mark.parametrize(
    ("stack", "kind"), combined("uppy 5", "uppy 6 sign"), indirect=True, scope="session"
)


def content(size: int) -> bytes:
    """The bytes that the page puts into a file."""
    data = bytearray(size)
    for at in range(0, size, 4096):
        data[at] = at // 4096 % 251
    return bytes(data)


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def uppy(browser: Browser, page_url: str, stack: Stack, kind: str) -> Callable[..., None]:
    """Starts Uppy on a fresh page."""

    def start(**options: Any) -> None:
        browser("open", url=page_url)
        browser.evaluate("options => start(options)", {"kind": kind, "api": stack.api_url, **options})

    return start


def named(stack: Stack, name: str, **query: str) -> list[Any]:
    items = stack.get("/api/files?" + urlencode({"limit": 1000, "state": "any", **query}))["items"]
    return [item for item in items if item["name"] == name]


def assert_stored(stack: Stack, name: str, size: int, media_type: str, **metadata: str) -> None:
    """One file of this name is in the catalogue, and S3 holds exactly its bytes under its key.

    `signRequest` is told no type when it begins an upload in parts: inspection reads it from the object.
    """
    assert eventually(
        lambda: [(file["state"], file["media_type"]) for file in named(stack, name)] == [("stored", media_type)]
    )
    (file,) = named(stack, name)
    assert (file["size"], file["name"]) == (size, name)
    assert file["metadata"] == metadata
    body = stack.s3.get_object(Bucket=file["bucket"], Key=file["key"])["Body"].read()
    assert hashlib.sha256(body).digest() == hashlib.sha256(content(size)).digest()


def album(kind: str) -> dict[str, str]:
    """Uppy's `signRequest` is told nothing of a file but its key and type."""
    return {} if kind == "uppy 6 sign" else {"album": "summer"}


def upload(browser: Browser, size: int, name: str, media_type: str = "video/mp4") -> None:
    browser.evaluate("([size, name, type]) => { add(size, name, type); uppy.upload(); }", [size, name, media_type])


def assert_completed(browser: Browser) -> None:
    browser.wait("count('complete') > 0")
    events = browser.evaluate("events")
    assert [values[0] for name, values in events if name == "complete"] == [{"successful": 1, "failed": 0}], events


@every_kind
@pytest.mark.parametrize("size", [0, 1234], ids=["empty", "small"])
@pytest.mark.parametrize("name", ["plain.txt", "Übersicht 日本 🎉 (1)&+%.txt"])
def test_a_file_arrives_under_its_own_name(
    uppy: Callable[..., None], browser: Browser, stack: Stack, kind: str, size: int, name: str
) -> None:
    name = f"{uuid4()} {name}"
    uppy()
    upload(browser, size, name, "text/plain")

    assert_completed(browser)
    assert_stored(stack, name, size, "text/plain", **album(kind))

    if kind == "uppy 5":
        (event,) = [values for event, values in browser.evaluate("events") if event == "upload-success"]
        endpoint, (file,) = stack.s3.meta.endpoint_url, named(stack, name)
        assert event[1]["uploadURL"] == f"{endpoint}/{file['bucket']}/{quote(file['key'])}"


@no_companion_6
def test_a_refusal_says_why(uppy: Callable[..., None], browser: Browser, stack: Stack, kind: str) -> None:
    """Uppy 6 hides it behind `companionEndpoint`, and sends no header there that would name a user."""
    user = stack.post("/api/users", {"name": "Ada", "limits": {"media_types": ["image/*"]}}, 201)["id"]
    uppy(user=user)
    upload(browser, 5, f"{uuid4()} text.txt", "text/plain")
    browser.wait("count('upload-error') > 0")

    (event,) = [values for event, values in browser.evaluate("events") if event == "upload-error"]
    assert "text/plain" in json.dumps(event), event


@every_kind
def test_sixty_megabytes_arrive_in_parts(uppy: Callable[..., None], browser: Browser, stack: Stack, kind: str) -> None:
    name, size = f"{uuid4()} film.mp4", 60 * MIB + 7
    uppy()
    upload(browser, size, name)

    assert_completed(browser)
    assert browser.evaluate(f"count('{PART}')") == 13
    assert_stored(stack, name, size, "video/mp4", **album(kind))

    if kind == "uppy 5":
        (event,) = [values for event, values in browser.evaluate("events") if event == "upload-success"]
        assert event[1]["body"]["id"] == named(stack, name)[0]["id"]


@every_kind
def test_a_paused_upload_is_resumed(uppy: Callable[..., None], browser: Browser, stack: Stack, kind: str) -> None:
    name, size = f"{uuid4()} paused.mp4", 40 * MIB
    uppy()
    browser.evaluate("pauseAfter(3)")
    upload(browser, size, name)
    browser.wait(f"count('{PART}') >= 3")

    assert browser.evaluate("new Promise(done => setTimeout(() => done(count('complete')), 500))") == 0
    assert named(stack, name)[0]["state"] == "pending"

    browser.evaluate("uppy.resumeAll()")
    assert_completed(browser)
    assert_stored(stack, name, size, "video/mp4", **album(kind))


@every_kind
def test_an_upload_survives_a_reload_of_the_page(
    uppy: Callable[..., None], browser: Browser, stack: Stack, kind: str
) -> None:
    name, size = f"{uuid4()} reloaded.mp4", 40 * MIB
    uppy()
    browser("throttle", bytes=10 * MIB)
    upload(browser, size, name)
    browser.wait(f"count('{PART}') >= 3")
    # Golden Retriever writes twice a second.
    browser.evaluate("new Promise(done => setTimeout(done, 1200))")

    assert browser.evaluate("count('complete')") == 0

    browser("reload")
    browser("throttle", bytes=-1)
    browser.evaluate("options => start(options)", {"kind": kind, "api": stack.api_url})
    browser.wait("count('restored') > 0")
    browser.evaluate("uppy.emit('restore-confirmed')")

    assert_completed(browser)
    assert_stored(stack, name, size, "video/mp4", **album(kind))

    sent = browser.evaluate("performance.getEntriesByType('resource').filter(e => e.name.includes('X-Amz')).length")
    assert sent, "the rest of the parts was sent by the second page"


@every_kind
def test_a_cancelled_upload_leaves_nothing(
    uppy: Callable[..., None], browser: Browser, stack: Stack, kind: str
) -> None:
    name = f"{uuid4()} cancelled.mp4"
    uppy()
    browser.evaluate("pauseAfter(2)")
    upload(browser, 40 * MIB, name)
    browser.wait(f"count('{PART}') >= 2")
    (file,) = named(stack, name)
    browser.evaluate("uppy.cancelAll()")

    def uploads() -> list[Any]:
        return stack.s3.list_multipart_uploads(Bucket=stack.bucket, Prefix=file["key"]).get("Uploads", [])

    assert eventually(lambda: uploads() == [])

    # With `signRequest` Uppy tells S3 alone; the row expires.
    expected = ["pending"] if kind == "uppy 6 sign" else []
    assert eventually(lambda: [found["state"] for found in named(stack, name)] == expected)
    assert stack.s3.list_object_versions(Bucket=stack.bucket, Prefix=file["key"]).get("Versions", []) == []


@no_companion_6
def test_another_user_cannot_continue_an_upload(
    uppy: Callable[..., None], browser: Browser, stack: Stack, kind: str
) -> None:
    name = f"{uuid4()} mine.mp4"
    ada, eve = (stack.post("/api/users", {"name": user}, 201)["id"] for user in ("Ada", "Eve"))
    uppy(user=ada)
    browser.evaluate("pauseAfter(2)")
    upload(browser, 40 * MIB, name)
    browser.wait(f"count('{PART}') >= 2")
    browser.evaluate("eve => { headers['X-Landfall-User'] = eve; uppy.resumeAll(); }", eve)
    browser.wait("count('upload-error') > 0")

    (file,) = named(stack, name)
    assert (file["state"], file["owner_id"]) == ("pending", ada)
    assert stack.s3.list_object_versions(Bucket=stack.bucket, Prefix=file["key"]).get("Versions", []) == []


@pytest.mark.parametrize("stack", ["local", "minio"], indirect=True)
def test_the_catalogue_holds_exactly_what_s3_holds_afterwards(stack: Stack) -> None:
    def in_s3() -> dict[str, Any]:
        pages = stack.s3.get_paginator("list_objects_v2").paginate(Bucket=stack.bucket)
        return {
            found["Key"]: (found["Size"], found["ETag"].strip('"'))
            for page in pages
            for found in page.get("Contents", [])
        }

    def in_catalogue() -> dict[str, Any]:
        items = stack.get("/api/files?state=stored&limit=1000")["items"]
        return {item["key"]: (item["size"], item["etag"]) for item in items}

    assert eventually(lambda: in_catalogue() == in_s3())
    assert len(in_s3()) >= 1
