"""Deleting a file: what is left of it, and what its events, other clients and outages change."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from tests.support.api import Api, assert_problem
from tests.support.files import unique, upload
from tests.support.notifications import put_of, s3_record
from tests.support.recording import deliver


def add_pending(engine: Engine, owner: Api, bucket: str) -> str:
    """A file in this bucket whose upload was announced and hasn't come."""
    insert = text("""
        INSERT INTO files (id, bucket, key, name, state, owner_id, created_at, updated_at)
        VALUES (CAST(:id AS uuid), :bucket, :key, 'later.txt', 'pending', CAST(:owner AS uuid), now(), now())""")
    file_id = str(uuid4())
    with engine.begin() as connection:
        connection.execute(insert, {"id": file_id, "bucket": bucket, "key": unique("later"), "owner": owner.user_id})
    return file_id


def test_deletion_leaves_a_tombstone_and_a_second_deletion_finds_nothing(owner: Api, s3: Any) -> None:
    file = upload(owner)
    path = f"/api/files/{file['id']}"

    answer = owner("DELETE", path)
    assert (answer.status, answer.body) == (204, b"")

    problem = assert_problem(owner("GET", path), 404, "not-found")
    assert "/versions and /events" in problem["detail"]
    for method, document in (("DELETE", None), ("PATCH", {"name": "x"}), ("PUT", {"name": "x"})):
        assert_problem(owner(method, path, document), 404, "not-found")
    assert owner("GET", "/api/files").json["items"] == []

    (tombstone,) = owner("GET", "/api/files?state=deleted").json["items"]
    assert tombstone["id"] == file["id"]
    assert [tombstone[field] for field in ("state", "version_id", "size", "etag")] == ["deleted", None, None, None]
    assert "Contents" not in s3.list_objects_v2(Bucket=file["bucket"], Prefix=file["key"])


def test_late_events_do_not_undo_a_deletion(owner: Api, engine: Engine, s3: Any) -> None:
    file = upload(owner)
    path = f"/api/files/{file['id']}"
    owner("DELETE", path)
    (marker,) = s3.list_object_versions(Bucket=file["bucket"], Prefix=file["key"])["DeleteMarkers"]
    put = put_of(file, "0A")
    place = {"bucket": file["bucket"], "version_id": marker["VersionId"]}
    deletion = s3_record("ObjectRemoved:DeleteMarkerCreated", file["key"], sequencer="0B", **place)

    for record in (put, deletion, put):
        deliver(engine, record)
        assert_problem(owner("GET", path), 404, "not-found")

    events = owner("GET", f"{path}/events").json["items"]
    assert [event["change"] for event in events] == ["put", "marker"]
    assert [event["sequencer"] for event in events] == ["0A", "0B"]
    assert list(events[0]) == [
        "id", "change", "event_name", "version_id", "sequencer", "size", "etag", "event_time", "recorded_at",
    ]  # fmt: skip


def test_removing_the_delete_marker_in_s3_restores_the_file(owner: Api, engine: Engine, s3: Any) -> None:
    file = upload(owner, metadata='{"a": 1}')
    path = f"/api/files/{file['id']}"
    owner("DELETE", path)
    (marker,) = s3.list_object_versions(Bucket=file["bucket"], Prefix=file["key"])["DeleteMarkers"]
    place = {"bucket": file["bucket"], "version_id": marker["VersionId"]}
    deliver(engine, s3_record("ObjectRemoved:DeleteMarkerCreated", file["key"], sequencer="0B", **place))
    deliver(engine, s3_record("ObjectRemoved:Delete", file["key"], sequencer="0C", **place))

    back = owner("GET", path).json
    assert back == file | {"updated_at": back["updated_at"], "upload": None}


def test_a_file_in_a_bucket_without_versions_is_deleted(plain_files_api: Api, s3: Any) -> None:
    file = upload(plain_files_api)

    path = f"/api/files/{file['id']}"
    assert plain_files_api("DELETE", path).status == 204
    assert_problem(plain_files_api("GET", path), 404, "not-found")
    assert "Contents" not in s3.list_objects_v2(Bucket=file["bucket"], Prefix=file["key"])

    (version,) = plain_files_api("GET", f"{path}/versions").json["items"]
    assert (version["version_id"], version["removed"], version["is_current"]) == ("", True, False)


@pytest.mark.parametrize("bucket", ["versioned", "plain"])
def test_a_file_whose_object_is_already_gone_becomes_deleted(
    files_api: Api, plain_files_api: Api, s3: Any, bucket: str
) -> None:
    client = {"versioned": files_api, "plain": plain_files_api}[bucket]
    file = upload(client)
    s3.delete_object(Bucket=bucket, Key=file["key"])

    assert client("DELETE", f"/api/files/{file['id']}").status == 204
    assert_problem(client("GET", f"/api/files/{file['id']}"), 404, "not-found")


def test_a_missing_bucket_deletes_no_file(files_api: Api, engine: Engine) -> None:
    """It may have another name by now, or be another account's, or we look at the wrong endpoint."""
    key = unique("lost")
    record = s3_record("ObjectCreated:Put", key, bucket="no-such-bucket", sequencer="0A", version_id="v", size=1)
    deliver(engine, record)
    (file,) = files_api("GET", f"/api/files?key={key}").json["items"]

    problem = assert_problem(files_api("DELETE", f"/api/files/{file['id']}"), 503, "unavailable")
    assert "there is no such bucket" in problem["detail"]
    assert files_api("GET", f"/api/files?key={key}").json["items"][0]["state"] == "stored"


@pytest.mark.parametrize("bucket", ["versioned", "plain"])
def test_a_pending_file_can_be_deleted(owner: Api, plain_files_api: Api, engine: Engine, bucket: str) -> None:
    file_id = add_pending(engine, owner, bucket)
    assert owner("DELETE", f"/api/files/{file_id}").status == 204
    assert_problem(owner("DELETE", f"/api/files/{file_id}"), 404, "not-found")

    (file,) = owner("GET", "/api/files?state=deleted").json["items"]
    assert file["id"] == file_id


def test_without_s3_a_deletion_is_503_and_changes_nothing(owner: Api, api_without_s3: Api) -> None:
    file = upload(owner)

    answer = api_without_s3.as_user({"id": owner.user_id})("DELETE", f"/api/files/{file['id']}")
    assert_problem(answer, 503, "unavailable")
    assert owner("GET", f"/api/files/{file['id']}").json == file | {"upload": None}
