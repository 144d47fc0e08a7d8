"""Objects put into the bucket by any S3 client end up in the catalogue: exactly what S3 itself lists, nothing else."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3
from sqlalchemy import text

from tests.support.listings import listed_by_catalogue, listed_by_s3
from tests.support.samples import PNG
from tests.support.stacks import Stack
from tests.support.waiting import eventually

HOSTILE = [
    "a+b {n}.txt", "two  spaces {n}", "100%2F{n}", "é ü ß {n}", "🎉/{n}", "../{n}/../etc/passwd", "folder {n}/",
    "quotes'\"{n}\\back", "a&b=c?{n}#d", "{n}/" + "x" * 900, "ünï{n}/" + "é" * 400, "new\nline {n}", "%41{n}", "{n};<xml>",
]  # fmt: skip
KEYS = 300
POISON = '{"no": "notification"}'


@pytest.fixture(scope="module", autouse=True)
def poison(stack: Stack) -> None:
    """A message that nobody can read comes first. Its tries take ten seconds, in which other tests do their work."""
    stack.send_event(POISON)


def hostile_key(number: int) -> str:
    key = HOSTILE[number % len(HOSTILE)].format(n=number)
    while len(key.encode()) > 1024:
        key = key[:-1]
    return key


def as_path(key: str) -> str:
    """A key that is as hostile, for stores that keep keys as paths of a file system."""
    return re.sub(r"(.{100})", r"\1/", key.replace("..", "..."))


def act(stack: Stack, key: str, random: Random) -> None:
    """A few random things that S3 clients do to one key.

    Only a key that is there is deleted: for one that isn't, ministack makes a marker, as S3 does, but sends no event.
    """
    s3, bucket = stack.s3, stack.bucket
    versions: list[str] = []
    is_there = False
    puts = ["put", "put", "post", "copy", "multipart"]
    if stack.keys_are_paths and key.endswith("/"):
        puts = ["put", "post"]  # MinIO takes a folder in one request only, and has no versions to copy it from
    if not stack.forms_take_emoji and max(key) > "\uffff":
        puts.remove("post")
    for _ in range(random.randint(1, 4)):
        action = random.choice([*puts, "delete", "undelete", "bulk delete"] if is_there else puts)
        is_there = action not in ("delete", "bulk delete") and (action != "copy" or is_there or bool(versions))
        match action:
            case "put":
                data = random.randbytes(random.choice([0, 1, 100]))
                answer = s3.put_object(Bucket=bucket, Key=key, Body=data, ContentType="text/plain")
                versions.append(answer.get("VersionId", "null"))
            case "multipart":
                multipart(stack, key, random.randbytes(64))
            case "post":
                post(stack, key, random.randbytes(33))
            case "copy" if versions:
                source = {"Bucket": bucket, "Key": key, "VersionId": versions[-1]}
                s3.copy_object(
                    Bucket=bucket, Key=key, CopySource=source, MetadataDirective="REPLACE", Metadata={"a": "b"}
                )
            case "delete":
                s3.delete_object(Bucket=bucket, Key=key)
            case "undelete":
                if marker := s3.delete_object(Bucket=bucket, Key=key).get("VersionId"):
                    s3.delete_object(Bucket=bucket, Key=key, VersionId=marker)
            case "bulk delete":
                s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})
            case _:
                pass


def multipart(stack: Stack, key: str, data: bytes) -> None:
    target = {"Bucket": stack.bucket, "Key": key}
    upload = stack.s3.create_multipart_upload(**target)["UploadId"]
    part = stack.s3.upload_part(**target, UploadId=upload, PartNumber=1, Body=data)
    done = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    stack.s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload=done)


def post(stack: Stack, key: str, data: bytes) -> None:
    form = stack.s3.generate_presigned_post(stack.bucket, key)
    fields = {**form["fields"], "file": ("f", data)}
    answer = urllib3.request("POST", form["url"], fields=fields)
    assert answer.status in (200, 204), answer.data


def current_files(stack: Stack) -> dict[str, tuple[Any, ...]]:
    files, cursor = {}, None
    while True:
        query = {"bucket": stack.bucket, "limit": 1000} | ({"cursor": cursor} if cursor else {})
        page = stack.get("/api/files?" + urlencode(query))
        files |= {item["key"]: (item["version_id"], item["size"], item["etag"]) for item in page["items"]}
        cursor = page["next_cursor"]
        if not cursor:
            return files


def test_the_catalogue_equals_what_s3_lists_after_everything_clients_do(stack: Stack) -> None:
    keys = [as_path(key) if stack.keys_are_paths else key for key in map(hostile_key, range(KEYS))]
    assert len(set(keys)) == KEYS
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda pair: act(stack, pair[1], Random(pair[0])), enumerate(keys)))

    expected = listed_by_s3(stack.s3, stack.bucket)
    assert len(expected) > KEYS / 2
    eventually(lambda: listed_by_catalogue(stack.engine, stack.bucket) == expected, 90)

    assert listed_by_catalogue(stack.engine, stack.bucket) == expected
    latest = {
        key: (version, size, etag)
        for key, version, size, etag, is_latest, marker in expected
        if is_latest and not marker
    }
    assert current_files(stack) == latest


def test_a_put_object_appears_in_the_list_with_its_inspected_type(stack: Stack) -> None:
    stack.s3.put_object(Bucket=stack.bucket, Key="a picture+1.png", Body=PNG, Metadata={"author": "me"})

    def found() -> bool:
        items = stack.get("/api/files?" + urlencode({"key": "a picture+1.png"}))["items"]
        return bool(items) and items[0]["media_type"] == "image/png"

    assert eventually(found)

    (item,) = stack.get("/api/files?" + urlencode({"key": "a picture+1.png"}))["items"]
    assert (item["name"], item["size"], item["state"]) == ("a picture+1.png", len(PNG), "stored")
    assert item["etag"] == hashlib.md5(PNG, usedforsecurity=False).hexdigest()

    (version,) = stack.get(f"/api/files/{item['id']}/versions")["items"]
    assert version["inspection"]["metadata"] == {"author": "me"}
    assert (version["inspection"]["width"], version["inspection"]["height"]) == (2, 3)


def test_killing_postgres_in_a_stream_of_events_loses_and_doubles_nothing(stack: Stack) -> None:
    keys = [f"stream/{number:03}" for number in range(120)]
    for number, key in enumerate(keys):
        stack.s3.put_object(Bucket=stack.bucket, Key=key, Body=b"x" * number)
        if number == 40:
            stack.postgres.kill()
        if number == 80:
            stack.postgres.start()

    def all_there() -> bool:
        return set(keys) <= current_files(stack).keys()

    assert eventually(all_there, 60)

    files = current_files(stack)
    assert [files[key][1] for key in keys] == list(range(120))

    with stack.engine.connect() as connection:
        query = text(
            "SELECT count(*), count(DISTINCT key) FROM file_events WHERE bucket = :bucket AND key LIKE 'stream/%'"
        )
        assert tuple(connection.execute(query, {"bucket": stack.bucket}).one()) == (120, 120)


def test_an_upload_through_the_api_stays_one_file_after_its_event(stack: Stack) -> None:
    answer = stack.request("POST", "/api/files/upload", fields={"file": ("note.txt", b"hello")})
    assert answer.status == 201, answer.data
    (uploaded,) = answer.json()
    assert uploaded["state"] == "stored"

    assert eventually(lambda: len(stack.get(f"/api/files/{uploaded['id']}/events")["items"]) == 1)
    items = stack.get("/api/files?" + urlencode({"prefix": uploaded["key"]}))["items"]
    assert [item["id"] for item in items] == [uploaded["id"]]
    assert stack.s3.get_object(Bucket=stack.bucket, Key=uploaded["key"])["Body"].read() == b"hello"


def test_poison_becomes_a_dead_letter_and_does_not_hold_up_others(stack: Stack) -> None:
    """It came before everything that the tests above have seen."""
    stack.s3.put_object(Bucket=stack.bucket, Key="beside-poison", Body=b"x")

    assert eventually(lambda: "beside-poison" in current_files(stack))
    assert eventually(lambda: POISON in stack.take_dead_events(), 60)
    # A function that starts cold takes longer than a message stays hidden here, and gets it twice. Nobody else is to find it.
    assert not stack.dead_queue_url or eventually(lambda: not stack.dying_events(), 60)
    stack.take_dead_events()
