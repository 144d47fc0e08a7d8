"""Moving a file to another key, over real HTTP and a real S3 protocol."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from tests.support.api import Api, assert_problem
from tests.support.files import act, detail, find_by_key, key_of, read, upload, versions
from tests.support.notifications import s3_record
from tests.support.recording import deliver
from tests.support.users import new_member
from tests.support.worker import Worker


@pytest.fixture
def plain_owner(plain_files_api: Api) -> Api:
    return new_member(plain_files_api)


def test_a_move_keeps_id_creation_and_history(owner: Api, s3: Any) -> None:
    file = upload(owner, b"first", "a.txt", tags="t")
    s3.put_object(Bucket=file["bucket"], Key=file["key"], Body=b"second")
    first = file["version_id"]
    key = key_of(owner, "b.md")

    # The second version's event hasn't come: what S3 holds now is not what the catalogue knows.
    moved = act(owner, file, "move", {"key": key})
    assert (moved["id"], moved["created_at"], moved["key"]) == (file["id"], file["created_at"], key)
    assert (moved["tags"], moved["state"], moved["name"], moved["job"]) == (["t"], "stored", "b.md", None)
    assert read(owner, moved) == b"first"

    found = versions(owner, moved)
    assert first in [version["version_id"] for version in found]
    assert [version["is_current"] for version in found].count(True) == 1
    assert read(owner, moved, version_id=first) == b"first"
    # The unknown one stayed where it was: nothing is lost.
    assert s3.get_object(Bucket=file["bucket"], Key=file["key"])["Body"].read() == b"second"


def test_a_moved_file_leaves_its_old_key_and_can_return(owner: Api, files_api: Api, s3: Any) -> None:
    file = upload(owner, b"hello")
    there = key_of(owner, "b.txt")
    act(owner, file, "move", {"key": there})

    left = find_by_key(files_api, file["key"])
    assert (left["state"], left["owner_id"]) == ("deleted", None)
    assert s3.list_objects_v2(Bucket=file["bucket"], Prefix=file["key"])["KeyCount"] == 0

    back = act(owner, file, "move", {"key": file["key"]})
    assert (back["id"], back["key"], read(owner, back)) == (file["id"], file["key"], b"hello")

    again = act(owner, file, "move", {"key": there})
    assert again["key"] == there
    # At each place the first one and the one that came back. Markers are told by S3's clock, to the second.
    assert len([version for version in versions(owner, again) if not version["is_delete_marker"]]) == 4


def test_a_moved_file_can_return_in_a_bucket_without_versions(plain_owner: Api, s3: Any) -> None:
    file, there = upload(plain_owner, b"hello"), key_of(plain_owner, "b.txt")
    act(plain_owner, file, "move", {"key": there})

    back = act(plain_owner, file, "move", {"key": file["key"]})
    assert (back["state"], back["key"], read(plain_owner, back)) == ("stored", file["key"], b"hello")
    assert "Contents" not in s3.list_objects_v2(Bucket="plain", Prefix=there)


def test_the_events_of_a_move_change_nothing(owner: Api, files_api: Api, s3: Any, engine: Engine) -> None:
    file = upload(owner, b"hello")
    key = key_of(owner, "b.txt")
    moved = act(owner, file, "move", {"key": key})
    listed = s3.list_object_versions(Bucket=file["bucket"], Prefix=file["key"].rsplit("/", 2)[0])
    place: dict[str, Any] = {"bucket": file["bucket"]}

    for number, version in enumerate(item for item in listed["Versions"] if item["Key"] in (key, file["key"])):
        fields = {"version_id": version["VersionId"], "size": version["Size"], "etag": version["ETag"].strip('"')}
        event = "ObjectCreated:Copy" if version["Key"] == key else "ObjectCreated:Put"
        deliver(engine, s3_record(event, version["Key"], sequencer=f"0{number + 1}", **fields, **place))
    for marker in listed["DeleteMarkers"]:
        if marker["Key"] == file["key"]:
            name = "ObjectRemoved:DeleteMarkerCreated"
            deliver(engine, s3_record(name, file["key"], sequencer="0F", version_id=marker["VersionId"], **place))

    after = detail(owner, file)
    assert {name: after[name] for name in ("id", "key", "state", "size", "version_id")} == {
        name: moved[name] for name in ("id", "key", "state", "size", "version_id")
    }
    assert find_by_key(files_api, file["key"])["state"] == "deleted"


# --- refusals


def test_a_refused_move_leaves_the_file_where_it_is(owner: Api, files_api: Api) -> None:
    file, other = upload(owner, b"hello"), upload(owner, b"other")
    place = f"/api/files/{file['id']}/move"
    assert_problem(owner("POST", place, {"key": other["key"]}), 409, "conflict")
    assert_problem(owner("POST", place, {"key": file["key"]}), 409, "conflict")
    assert_problem(owner("POST", place, {"key": "elsewhere/a"}), 403, "forbidden")
    assert_problem(owner("POST", place, {"key": "é" * 600}), 422, "unprocessable")
    assert_problem(owner("POST", place, {}), 400, "invalid-input", ("body", "key"))

    pending = owner("POST", "/api/files", {"name": "x"}).json
    assert_problem(owner("POST", f"/api/files/{pending['id']}/move", {"key": "x"}), 409, "conflict")

    owner("DELETE", f"/api/files/{other['id']}")
    problem = assert_problem(owner("POST", place, {"key": other["key"]}), 409, "conflict")
    assert "trash" in problem["detail"]

    assert detail(owner, file)["key"] == file["key"]
    assert act(files_api, file, "move", {"key": f"elsewhere/{uuid4()}"})["id"] == file["id"]


@pytest.mark.parametrize("key", ["a/../b", "./a", "a/.."])
def test_a_move_to_a_key_with_dot_segments_is_refused(files_api: Api, key: str) -> None:
    file = upload(files_api)
    assert_problem(files_api("POST", f"/api/files/{file['id']}/move", {"key": key}), 422, "unprocessable")


def test_a_move_does_not_overwrite_an_object_unknown_to_the_catalogue(owner: Api, s3: Any) -> None:
    file, key = upload(owner, b"mine"), key_of(owner, "b.txt")
    s3.put_object(Bucket="versioned", Key=key, Body=b"unknown yet")

    problem = assert_problem(owner("POST", f"/api/files/{file['id']}/move", {"key": key}), 409, "conflict")
    assert "already" in problem["detail"]
    assert s3.get_object(Bucket="versioned", Key=key)["Body"].read() == b"unknown yet"
    assert (detail(owner, file)["key"], read(owner, file)) == (file["key"], b"mine")


# --- failures


def test_a_failed_move_frees_its_new_key(owner: Api, s3: Any) -> None:
    file, key = upload(owner, b"mine"), key_of(owner, "b.txt")
    s3.delete_object(Bucket="versioned", Key=file["key"], VersionId=file["version_id"])  # its event is on the way
    assert_problem(owner("POST", f"/api/files/{file['id']}/move", {"key": key}), 409, "conflict")

    other = upload(owner, b"other")
    assert act(owner, other, "move", {"key": key})["key"] == key
    assert "DeleteMarkers" not in s3.list_object_versions(Bucket="versioned", Prefix=key)


def test_a_move_without_s3_leaves_the_file_and_is_queued(owner: Api, job_worker: Worker) -> None:
    file = upload(owner, b"hello")
    key = key_of(owner, "b.txt")

    with job_worker.without_s3():
        answer = owner("POST", f"/api/files/{file['id']}/move", {"key": key})
    assert answer.status == 202, answer.body
    assert answer.json["key"] == file["key"]

    job = answer.json["job"]
    assert (job["state"], job["kind"]) == ("queued", "move")
    assert "does not answer" in job["problem"]
    assert read(owner, file) == b"hello"
    assert_problem(owner("POST", f"/api/files/{file['id']}/move", {"key": key}), 409, "conflict")

    stopped = owner("POST", f"/api/jobs/{job['id']}/cancel")
    assert (stopped.status, stopped.json["state"]) == (200, "cancelled")
    assert_problem(owner("POST", f"/api/jobs/{job['id']}/cancel"), 409, "conflict")


def test_a_second_move_is_refused_until_the_first_ends(owner: Api, job_worker: Worker) -> None:
    file = upload(owner)
    with job_worker.without_s3():
        job = owner("POST", f"/api/files/{file['id']}/move", {"key": key_of(owner, "a")}).json["job"]

    refused = owner("POST", f"/api/files/{file['id']}/move", {"key": key_of(owner, "b")})
    problem = assert_problem(refused, 409, "conflict")
    assert "being moved" in problem["detail"]

    assert owner("POST", f"/api/jobs/{job['id']}/cancel").json["state"] == "cancelled"
    assert act(owner, file, "move", {"key": key_of(owner, "b")})["job"] is None
