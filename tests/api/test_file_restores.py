"""Restoring a deleted file, or an earlier version, over real HTTP and a real S3 protocol."""

from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from sqlalchemy import Engine

from tests.support.api import Api, assert_problem
from tests.support.aws import set_versioning
from tests.support.files import act, detail, read, upload, versions
from tests.support.notifications import s3_record
from tests.support.recording import deliver


def test_a_deleted_file_is_restored_as_it_was(owner: Api) -> None:
    file = upload(owner, b"hello", "a.txt", tags="t")

    for _ in range(2):
        assert owner("DELETE", f"/api/files/{file['id']}").status == 204

        back = act(owner, file, "restore")
        assert {name: back[name] for name in ("id", "version_id", "size", "etag", "tags", "state")} == {
            name: file[name] for name in ("id", "version_id", "size", "etag", "tags", "state")
        }

        assert read(owner, back) == b"hello"
        assert act(owner, file, "restore") == back


def test_a_restored_earlier_version_becomes_the_newest(owner: Api, s3: Any, engine: Engine) -> None:
    file = upload(owner, b"first")
    second = s3.put_object(Bucket=file["bucket"], Key=file["key"], Body=b"second!")
    fields = {"version_id": second["VersionId"], "size": 7, "bucket": file["bucket"]}
    deliver(engine, s3_record("ObjectCreated:Put", file["key"], sequencer="0A", **fields))

    assert detail(owner, file)["size"] == 7

    restored = act(owner, file, "restore", {"version_id": file["version_id"]})
    assert (restored["id"], restored["size"]) == (file["id"], 5)
    assert len(versions(owner, file)) == 3
    assert_problem(owner("POST", f"/api/files/{file['id']}/restore", {"version_id": "none-such"}), 404, "not-found")


def test_a_version_from_before_versioning_is_restored(files_api: Api, s3: Any, engine: Engine) -> None:
    key = f"null-{uuid4()}"
    set_versioning(s3, "versioned", "Suspended")
    try:
        first = s3.put_object(Bucket="versioned", Key=key, Body=b"first")
    finally:
        set_versioning(s3, "versioned", "Enabled")
    second = s3.put_object(Bucket="versioned", Key=key, Body=b"second")
    for number, (answer, version) in enumerate(((first, "null"), (second, second["VersionId"]))):
        fields = {"bucket": "versioned", "version_id": version, "etag": answer["ETag"].strip('"'), "size": 5 + number}
        deliver(engine, s3_record("ObjectCreated:Put", key, sequencer=f"0{number + 1}", **fields))
    (file,) = files_api("GET", f"/api/files?{urlencode({'key': key})}").json["items"]

    restored = act(files_api, file, "restore", {"version_id": "null"})
    assert (restored["size"], read(files_api, restored)) == (5, b"first")


def test_a_file_that_s3_no_longer_holds_is_not_restored(owner: Api, s3: Any) -> None:
    file = upload(owner, b"hello")
    owner("DELETE", f"/api/files/{file['id']}")

    assert owner("DELETE", "/api/trash").json["state"] == "done"
    assert_problem(owner("POST", f"/api/files/{file['id']}/restore", {}), 409, "conflict")

    pending = owner("POST", "/api/files", {"name": "x"}).json
    assert_problem(owner("POST", f"/api/files/{pending['id']}/restore", {}), 409, "conflict")
    assert "Versions" not in s3.list_object_versions(Bucket=file["bucket"], Prefix=file["key"])
