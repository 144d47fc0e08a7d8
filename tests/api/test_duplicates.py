"""Bytes that are stored already are known by their hash, and need no second upload."""

from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, text

from tests.support.api import Api, assert_problem
from tests.support.clockwork import Clockwork
from tests.support.files import detail, unique, upload
from tests.support.uploads import begin, complete, send, sha256, store
from tests.support.users import limit


def verify(engine: Engine, file: dict[str, Any], checksum: str) -> None:
    """As inspection does with the checksum that S3 has verified."""
    with engine.begin() as connection:
        verified = text("UPDATE files SET sha256 = :sum WHERE id = CAST(:id AS uuid)")
        connection.execute(verified, {"sum": checksum, "id": file["id"]})


def test_a_duplicate_is_offered_and_copied_without_an_upload(owner: Api, s3: Any, engine: Engine) -> None:
    data = unique("content").encode()
    first = begin(owner, "one.txt", size=len(data), media_type="text/plain", sha256=sha256(data))
    assert (first["duplicate"], first["sha256"]) == (None, None)

    send(first["plan"], data)
    complete(owner, first)
    verify(engine, first, sha256(data))

    offered = begin(owner, "two.txt", size=len(data), sha256=sha256(data))
    assert offered["duplicate"]["id"] == first["id"]
    assert offered["plan"]["method"] == "put"

    third = begin(owner, "three.md", size=len(data), media_type="text/markdown", sha256=sha256(data), dedupe=True)
    assert (third["state"], third["plan"], third["name"]) == ("stored", None, "three.md")
    assert third["id"] != first["id"]

    copied = s3.get_object(Bucket=third["bucket"], Key=third["key"])
    assert (copied["Body"].read(), copied["ContentType"]) == (data, "text/markdown")

    version_id = detail(owner, first)["version_id"]
    s3.delete_object(Bucket=first["bucket"], Key=first["key"], VersionId=version_id)
    gone = begin(owner, "four.txt", size=len(data), sha256=sha256(data), dedupe=True)
    assert (gone["state"], gone["plan"]["method"]) == ("pending", "put")


def test_a_strangers_file_is_not_offered(owner: Api, stranger: Api, engine: Engine) -> None:
    data = unique("secret").encode()
    first = store(owner, data, sha256=sha256(data))
    verify(engine, first, sha256(data))

    file = begin(stranger, size=len(data), sha256=sha256(data), dedupe=True)
    assert (file["duplicate"], file["state"]) == (None, "pending")


def test_a_hash_that_s3_has_verified_is_known_at_once(owner: Api) -> None:
    data = uuid4().bytes
    checksum = sha256(data)

    assert store(owner, data, sha256=checksum)["sha256"] == checksum
    assert begin(owner, "again", size=16, sha256=checksum, dedupe=True)["state"] == "stored"
    assert upload(owner, data)["sha256"] == checksum


def test_a_duplicate_counts_with_its_real_size(owner: Api, files_api: Api, clockwork: Clockwork) -> None:
    data = uuid4().bytes * 300
    checksum = sha256(data)
    file = store(owner, data, media_type="text/plain", sha256=checksum)
    clockwork.judge()
    assert detail(owner, file)["sha256"] == checksum

    limit(files_api, owner, max_bytes=len(data) + 10)
    wanted = {"name": "b", "sha256": checksum, "dedupe": True}
    assert owner("POST", "/api/files", wanted | {"size": 1}).json["duplicate"] is None
    assert_problem(owner("POST", "/api/files", wanted), 403, "over-quota")
