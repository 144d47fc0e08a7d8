"""Copying, moving, restoring and the rest of managing files, over real HTTP and a real S3 protocol."""

import io
import urllib.request
import zipfile
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from tests.api.conftest import Api, assert_problem
from tests.api.files import deliver, upload
from tests.notifications import s3_record


def read(api: Api, file: dict[str, Any], **query: str) -> bytes:
    """What a download answers."""
    answer = api("GET", f"/api/files/{file['id']}/download?{urlencode({'redirect': 'false', **query})}")
    assert answer.status == 200, answer.body
    body: bytes = urllib.request.urlopen(answer.json["url"]).read()
    return body


def post(api: Api, file: dict[str, Any], action: str, document: Any = None, status: int = 200) -> Any:
    answer = api("POST", f"/api/files/{file['id']}/{action}", document or {})
    assert answer.status == status, answer.body
    return answer.json


def own_key(owner: Api, name: str) -> str:
    return f"{owner.headers['X-Landfall-User']}/{uuid4()}/{name}"


def detail(api: Api, file: dict[str, Any]) -> Any:
    return api("GET", f"/api/files/{file['id']}").json


def versions(api: Api, file: dict[str, Any]) -> list[Any]:
    return list(api("GET", f"/api/files/{file['id']}/versions").json["items"])


# --- copies ---------------------------------------------------------------------------------------------------------


def test_a_copy_is_a_file_of_its_own_with_the_same_bytes(owner: Api) -> None:
    file = upload(owner, b"hello", "a.txt", session_id="s", metadata='{"a": 1}')
    copy = post(owner, file, "copy", {"name": "b.txt", "tags": ["copied"]}, 201)
    assert (copy["state"], copy["name"], copy["session_id"], copy["job"]) == ("stored", "b.txt", "s", None)
    assert (copy["metadata"], copy["tags"], copy["size"]) == ({"a": 1}, ["copied"], 5)
    assert copy["id"] != file["id"]
    assert copy["key"] != file["key"]
    assert owner("DELETE", f"/api/files/{file['id']}").status == 204
    assert read(owner, copy) == b"hello"
    assert owner("GET", f"/api/files/{copy['id']}").json["media_type"] == "text/plain"


def test_an_operators_copy_of_a_members_file_is_in_no_session_unless_it_says_so(owner: Api, files_api: Api) -> None:
    file = upload(owner, b"hello", "a.txt", session_id="members-own")
    copy = post(files_api, file, "copy", {}, 201)
    assert (copy["session_id"], copy["name"]) == (None, "a.txt")
    assert_problem(files_api("GET", "/api/sessions/members-own"), 404, "not-found")
    assert post(files_api, file, "copy", {"session_id": "operators-own"}, 201)["session_id"] == "operators-own"
    assert post(owner, file, "copy", {"session_id": None, "name": None}, 201)["session_id"] is None


def test_a_copy_needs_bytes_a_right_and_room(owner: Api, files_api: Api) -> None:
    pending = owner("POST", "/api/files", {"name": "x"}).json
    assert_problem(owner("POST", f"/api/files/{pending['id']}/copy", {}), 409, "conflict")
    file = upload(owner, b"hello")
    other = files_api.as_user(files_api("POST", "/api/users", {"name": "Eve"}).json)
    assert_problem(other("POST", f"/api/files/{file['id']}/copy", {}), 404, "not-found")
    files_api("PATCH", f"/api/users/{owner.headers['X-Landfall-User']}", {"limits": {"max_bytes": 9}})
    assert_problem(owner("POST", f"/api/files/{file['id']}/copy", {}), 403, "over-quota")
    assert len(owner("GET", "/api/files?state=stored").json["items"]) == 1


# --- moves ----------------------------------------------------------------------------------------------------------


def test_a_move_keeps_id_creation_and_history(owner: Api, s3: Any) -> None:
    file = upload(owner, b"first", "a.txt", tags="t")
    s3.put_object(Bucket=file["bucket"], Key=file["key"], Body=b"second")
    first = file["version_id"]
    key = own_key(owner, "b.md")
    # The second version's event hasn't come: what S3 holds now is not what the catalogue knows.
    moved = post(owner, file, "move", {"key": key})
    assert (moved["id"], moved["created_at"], moved["key"]) == (file["id"], file["created_at"], key)
    assert (moved["tags"], moved["state"], moved["name"], moved["job"]) == (["t"], "stored", "b.md", None)
    assert read(owner, moved) == b"first"
    found = versions(owner, moved)
    assert first in [version["version_id"] for version in found]
    assert [version["is_current"] for version in found].count(True) == 1
    assert read(owner, moved, version_id=first) == b"first"
    # The unknown one stayed where it was: nothing is lost.
    assert s3.get_object(Bucket=file["bucket"], Key=file["key"])["Body"].read() == b"second"


def test_a_moved_file_leaves_its_old_key_and_can_come_back(owner: Api, files_api: Api, s3: Any) -> None:
    file = upload(owner, b"hello")
    there = own_key(owner, "b.txt")
    post(owner, file, "move", {"key": there})
    left = files_api("GET", f"/api/files?{urlencode({'key': file['key'], 'state': 'any'})}").json["items"]
    assert [(item["state"], item["owner_id"]) for item in left] == [("deleted", None)]
    assert s3.list_objects_v2(Bucket=file["bucket"], Prefix=file["key"])["KeyCount"] == 0
    back = post(owner, file, "move", {"key": file["key"]})
    assert (back["id"], back["key"], read(owner, back)) == (file["id"], file["key"], b"hello")
    again = post(owner, file, "move", {"key": there})
    assert again["key"] == there
    # At each place the first one and the one that came back. Markers are told by S3's clock, to the second.
    assert len([version for version in versions(owner, again) if not version["is_delete_marker"]]) == 4


def test_the_events_of_a_move_change_nothing_more(owner: Api, files_api: Api, s3: Any, api_database_url: str) -> None:
    file = upload(owner, b"hello")
    key = own_key(owner, "b.txt")
    moved = post(owner, file, "move", {"key": key})
    listed = s3.list_object_versions(Bucket=file["bucket"], Prefix=file["key"].rsplit("/", 2)[0])
    engine = create_engine(api_database_url)
    place: dict[str, Any] = {"bucket": file["bucket"]}
    for number, version in enumerate(item for item in listed["Versions"] if item["Key"] in (key, file["key"])):
        fields = {"version_id": version["VersionId"], "size": version["Size"], "etag": version["ETag"].strip('"')}
        event = "ObjectCreated:Copy" if version["Key"] == key else "ObjectCreated:Put"
        deliver(engine, s3_record(event, version["Key"], sequencer=f"0{number + 1}", **fields, **place))
    for marker in listed["DeleteMarkers"]:
        if marker["Key"] == file["key"]:
            name = "ObjectRemoved:DeleteMarkerCreated"
            deliver(engine, s3_record(name, file["key"], sequencer="0F", version_id=marker["VersionId"], **place))
    engine.dispose()
    after = detail(owner, file)
    assert {name: after[name] for name in ("id", "key", "state", "size", "version_id")} == {
        name: moved[name] for name in ("id", "key", "state", "size", "version_id")
    }
    items = files_api("GET", f"/api/files?{urlencode({'key': file['key'], 'state': 'any'})}").json["items"]
    assert [item["state"] for item in items] == ["deleted"]


def test_what_cannot_be_moved_stays_where_it_is(owner: Api, files_api: Api) -> None:
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
    assert post(files_api, file, "move", {"key": f"elsewhere/{uuid4()}"})["id"] == file["id"]


def test_a_move_that_s3_does_not_answer_leaves_the_file_and_goes_on_later(
    owner: Api, serve: Callable[..., Any], api_database_url: str
) -> None:
    file = upload(owner, b"hello")
    key = own_key(owner, "b.txt")
    with serve(api_database_url, AWS_ENDPOINT_URL="http://127.0.0.1:9", LANDFALL_BUCKET="versioned") as api:
        answer = api.as_user({"id": owner.headers["X-Landfall-User"]})(
            "POST", f"/api/files/{file['id']}/move", {"key": key}
        )
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


# --- restoring ------------------------------------------------------------------------------------------------------


def test_a_deleted_file_comes_back_as_it_was(owner: Api) -> None:
    file = upload(owner, b"hello", "a.txt", tags="t")
    for _ in range(2):
        assert owner("DELETE", f"/api/files/{file['id']}").status == 204
        back = post(owner, file, "restore")
        assert {name: back[name] for name in ("id", "version_id", "size", "etag", "tags", "state")} == {
            name: file[name] for name in ("id", "version_id", "size", "etag", "tags", "state")
        }
        assert read(owner, back) == b"hello"
        assert post(owner, file, "restore") == back


def test_an_earlier_version_becomes_the_newest_one_again(owner: Api, s3: Any, api_database_url: str) -> None:
    file = upload(owner, b"first")
    second = s3.put_object(Bucket=file["bucket"], Key=file["key"], Body=b"second!")
    engine = create_engine(api_database_url)
    fields = {"version_id": second["VersionId"], "size": 7, "bucket": file["bucket"]}
    deliver(engine, s3_record("ObjectCreated:Put", file["key"], sequencer="0A", **fields))
    engine.dispose()
    assert detail(owner, file)["size"] == 7
    restored = post(owner, file, "restore", {"version_id": file["version_id"]})
    assert (restored["id"], restored["size"]) == (file["id"], 5)
    assert len(versions(owner, file)) == 3
    assert_problem(owner("POST", f"/api/files/{file['id']}/restore", {"version_id": "none-such"}), 404, "not-found")


def test_what_s3_no_longer_holds_is_not_restored(owner: Api, s3: Any) -> None:
    file = upload(owner, b"hello")
    owner("DELETE", f"/api/files/{file['id']}")
    assert owner("DELETE", "/api/trash").json["state"] == "done"
    assert_problem(owner("POST", f"/api/files/{file['id']}/restore", {}), 409, "conflict")
    pending = owner("POST", "/api/files", {"name": "x"}).json
    assert_problem(owner("POST", f"/api/files/{pending['id']}/restore", {}), 409, "conflict")
    assert "Versions" not in s3.list_object_versions(Bucket=file["bucket"], Prefix=file["key"])


# --- many at once ---------------------------------------------------------------------------------------------------


def test_many_files_are_deleted_and_restored_with_a_result_each(owner: Api, files_api: Api) -> None:
    files = [upload(owner, str(number).encode()) for number in range(5)]
    theirs = upload(files_api.as_user(files_api("POST", "/api/users", {"name": "Eve"}).json))
    unknown = str(uuid4())
    ids = [file["id"] for file in files]
    wanted = {"file_ids": [*ids[:3], unknown, theirs["id"], ids[0]]}
    results = owner("POST", "/api/files/bulk-delete", wanted).json["results"]
    assert [result["status"] for result in results] == ["done"] * 3 + ["failed"] * 2
    assert results[3]["problem"]["status"] == 404
    assert {item["id"] for item in owner("GET", "/api/files").json["items"]} == set(ids[3:])
    again = owner("POST", "/api/files/bulk-delete", {"file_ids": ids[:1]}).json["results"]
    assert again[0]["problem"]["type"] == "/problems/not-found"
    restored = owner("POST", "/api/files/bulk-restore", {"file_ids": [*ids, unknown]}).json["results"]
    assert [result["status"] for result in restored] == ["done"] * 5 + ["failed"]
    assert {item["id"] for item in owner("GET", "/api/files").json["items"]} == set(ids)
    assert all(read(owner, file) == str(number).encode() for number, file in enumerate(files))


def test_a_thousand_files_at_once(owner: Api) -> None:
    ids = [owner("POST", "/api/files", {"name": str(number)}).json["id"] for number in range(40)]
    ids += [str(uuid4()) for _ in range(960)]
    results = owner("POST", "/api/files/bulk-delete", {"file_ids": ids}).json["results"]
    assert [result["file_id"] for result in results] == ids
    assert [result["status"] for result in results].count("done") == 40
    assert_problem(
        owner("POST", "/api/files/bulk-delete", {"file_ids": [*ids, str(uuid4())]}),
        400, "invalid-input", ("body", "file_ids"),
    )  # fmt: skip


def test_without_s3_every_result_says_so_and_nothing_has_changed(
    owner: Api, serve: Callable[..., Any], api_database_url: str
) -> None:
    file = upload(owner)
    with serve(api_database_url, AWS_ENDPOINT_URL="http://127.0.0.1:9") as api:
        wanted = {"file_ids": [file["id"]]}
        answer = api.as_user({"id": owner.headers["X-Landfall-User"]})("POST", "/api/files/bulk-delete", wanted)
    assert answer.json["results"][0]["problem"]["status"] == 503
    assert detail(owner, file)["state"] == "stored"


# --- folders, jobs, trash ---------------------------------------------------------------------------------------------


@pytest.fixture
def tree(owner: Api, s3: Any, api_database_url: str) -> str:
    """Ten files of the owner's in three folders, below a prefix of their own."""
    engine = create_engine(api_database_url)
    prefix = f"tree-{uuid4()}/"
    names = [f"a/{n}.txt" for n in range(4)] + [f"a/deep/{n}.txt" for n in range(2)] + ["b/x", "b/y", "top", "c d/ü"]
    for number, name in enumerate(names):
        s3.put_object(Bucket="versioned", Key=prefix + name, Body=b"12345")
        deliver(engine, s3_record("ObjectCreated:Put", prefix + name, bucket="versioned", size=5,
                                  version_id=s3.head_object(Bucket="versioned", Key=prefix + name)["VersionId"],
                                  sequencer=f"{number + 1:04X}"))  # fmt: skip
    with engine.begin() as connection:
        owned = "UPDATE files SET owner_id = CAST(:owner AS uuid) WHERE key ^@ :prefix"
        connection.execute(text(owned), {"owner": owner.headers["X-Landfall-User"], "prefix": prefix})
    engine.dispose()
    return prefix


def test_folders_are_counted_at_any_depth_and_paged(owner: Api, files_api: Api, tree: str) -> None:
    found = owner("GET", f"/api/folders?{urlencode({'prefix': tree})}").json
    assert [(item["name"], item["files"], item["bytes"]) for item in found["items"]] == [
        ("a", 6, 30), ("b", 2, 10), ("c d", 1, 5),
    ]  # fmt: skip
    assert (found["files"], found["bytes"], found["next_cursor"]) == (10, 50, None)
    assert found["items"][0]["prefix"] == f"{tree}a/"
    inner = owner("GET", f"/api/folders?{urlencode({'prefix': tree + 'a/'})}").json
    assert [(item["name"], item["files"]) for item in inner["items"]] == [("deep", 2)]
    names, path = [], f"/api/folders?{urlencode({'prefix': tree, 'limit': 1})}"
    while path:
        page = owner("GET", path)
        names += [item["name"] for item in page.json["items"]]
        link = page.headers.get("Link")
        path = link and link[link.index("/api/") : link.index(">")]
    assert names == ["a", "b", "c d"]
    stranger = files_api.as_user(files_api("POST", "/api/users", {"name": "Eve"}).json)
    assert stranger("GET", f"/api/folders?{urlencode({'prefix': tree})}").json["files"] == 0
    for cursor in ("x", "W10", "WyJmb2xkZXJzIiwgIngiXQ"):
        answer = owner("GET", f"/api/folders?{urlencode({'prefix': tree, 'cursor': cursor})}")
        assert_problem(answer, 400, "invalid-cursor", ("query", "cursor"))


def test_a_folder_is_deleted_as_a_job_and_everything_else_stays(owner: Api, tree: str) -> None:
    answer = owner("DELETE", f"/api/folders?{urlencode({'prefix': tree + 'a/'})}")
    assert answer.status == 202
    job = answer.json
    assert (job["state"], job["done"], job["failed"], job["kind"]) == ("done", 6, 0, "delete_folder")
    assert answer.headers["Location"].endswith(f"/api/jobs/{job['id']}")
    assert owner("GET", f"/api/jobs/{job['id']}").json == job
    assert owner("GET", "/api/jobs").json["items"] == [job]
    left = owner("GET", f"/api/files?{urlencode({'prefix': tree})}").json["items"]
    assert len(left) == 4
    assert_problem(owner("DELETE", "/api/folders"), 400, "invalid-input", ("query", "prefix"))
    assert_problem(owner("DELETE", "/api/folders?prefix="), 400, "invalid-input", ("query", "prefix"))


def test_a_job_is_its_owners_alone(owner: Api, files_api: Api, tree: str) -> None:
    job = owner("DELETE", f"/api/folders?{urlencode({'prefix': tree + 'b/'})}").json
    stranger = files_api.as_user(files_api("POST", "/api/users", {"name": "Eve"}).json)
    assert_problem(stranger("GET", f"/api/jobs/{job['id']}"), 404, "not-found")
    assert_problem(stranger("POST", f"/api/jobs/{job['id']}/cancel"), 404, "not-found")
    assert stranger("GET", "/api/jobs").json["items"] == []
    assert job["id"] in [item["id"] for item in files_api("GET", "/api/jobs").json["items"]]
    assert stranger("DELETE", f"/api/folders?{urlencode({'prefix': tree})}").json["done"] == 0
    assert len(owner("GET", f"/api/files?{urlencode({'prefix': tree})}").json["items"]) == 8


def test_emptying_the_trash_removes_every_version_for_good(owner: Api, s3: Any) -> None:
    kept, gone = upload(owner, b"kept"), upload(owner, b"gone")
    s3.put_object(Bucket=gone["bucket"], Key=gone["key"], Body=b"unknown to the catalogue yet")
    owner("DELETE", f"/api/files/{gone['id']}")
    job = owner("DELETE", "/api/trash").json
    assert (job["state"], job["done"]) == ("done", 1)
    assert owner("DELETE", "/api/trash").json["done"] == 0
    assert detail(owner, kept)["state"] == "stored"
    assert all(version["removed"] for version in versions(owner, gone))


# --- zips -------------------------------------------------------------------------------------------------------------


def test_a_selection_is_zipped_into_a_file_of_the_callers(owner: Api) -> None:
    files = [upload(owner, b"one", "a.txt"), upload(owner, b"two", "a.txt"), upload(owner, b"", "ü/leer")]
    answer = owner("POST", "/api/zips", {"file_ids": [file["id"] for file in files], "name": "all.zip"})
    assert answer.status == 202
    assert (answer.json["state"], answer.json["done"]) == ("done", 3)
    zipped = owner("GET", f"/api/files/{answer.json['result']['file_id']}").json
    assert (zipped["name"], zipped["state"], zipped["media_type"]) == ("all.zip", "stored", "application/zip")
    with zipfile.ZipFile(io.BytesIO(read(owner, zipped))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "a.txt": b"one", "a (2).txt": b"two", "ü_leer": b"",
        }  # fmt: skip
    unknown = {"file_ids": [files[0]["id"], str(uuid4())]}
    assert_problem(owner("POST", "/api/zips", unknown), 404, "not-found")


def test_a_zip_can_be_unpacked_on_any_system(owner: Api) -> None:
    names = [".", "..", "C:evil.exe", "A.txt", "a.txt", "con.log", "dots...", "..\\up", "aux"]
    files = [upload(owner, b"x", name) for name in ("plain",) * len(names)]
    for file, name in zip(files, names, strict=True):
        assert owner("PATCH", f"/api/files/{file['id']}", {"name": name}).status == 200
    job = owner("POST", "/api/zips", {"file_ids": [file["id"] for file in files]}).json
    with zipfile.ZipFile(io.BytesIO(read(owner, {"id": job["result"]["file_id"]}))) as archive:
        assert archive.namelist() == [
            "_", "_ (2)", "C_evil.exe", "A.txt", "a (2).txt", "_con.log", "dots", ".._up", "_aux",
        ]  # fmt: skip


def test_a_zip_without_room_fails_and_leaves_nothing(owner: Api, files_api: Api) -> None:
    file = upload(owner, b"hello")
    files_api("PATCH", f"/api/users/{owner.headers['X-Landfall-User']}", {"limits": {"max_bytes": 9}})
    job = owner("POST", "/api/zips", {"file_ids": [file["id"]]}).json
    assert job["state"] == "failed"
    assert "9 bytes" in job["problem"]
    assert [item["id"] for item in owner("GET", "/api/files?state=any").json["items"]] == [file["id"]]


# --- inspection -------------------------------------------------------------------------------------------------------


def test_a_file_whose_inspection_was_given_up_is_inspected_when_somebody_says_so(
    owner: Api, files_api: Api, api_database_url: str
) -> None:
    file = upload(owner, b"GIF89a" + bytes(20), "a.gif")
    engine = create_engine(api_database_url)
    with engine.begin() as connection:
        give_up = (
            "UPDATE object_versions SET inspect_after = NULL, inspect_tries = 8, inspect_problem = 'S3 is down.'"
            " WHERE key = :key"
        )
        connection.execute(text(give_up), {"key": file["key"]})
    engine.dispose()
    assert [version["inspection_problem"] for version in versions(owner, file)] == ["S3 is down."]
    stranger = files_api.as_user(files_api("POST", "/api/users", {"name": "Eve"}).json)
    assert_problem(stranger("POST", f"/api/files/{file['id']}/inspect"), 404, "not-found")
    assert post(owner, file, "inspect")["detected_media_type"] == "image/gif"
    assert [version["inspection_problem"] for version in versions(owner, file)] == [None]
    pending = owner("POST", "/api/files", {"name": "b"}).json
    assert_problem(owner("POST", f"/api/files/{pending['id']}/inspect"), 409, "conflict")


# --- share links ------------------------------------------------------------------------------------------------------


def shared(api: Api, url: str, method: str = "GET") -> Any:
    return Api(api.port, api.log)(method, url[url.index("/api/shared/") :])


def test_whoever_has_a_share_link_gets_the_file(owner: Api) -> None:
    file = upload(owner, b"hello", "a.txt")
    share = post(owner, file, "shares", {"max_uses": 2}, 201)
    head = shared(owner, share["url"], "HEAD")
    assert (head.status, head.headers["Location"]) == (200, None)
    for _ in range(2):
        answer = shared(owner, share["url"])
        assert answer.status == 302
        assert urllib.request.urlopen(answer.headers["Location"]).read() == b"hello"
    assert_problem(shared(owner, share["url"]), 404, "not-found")
    (listed,) = owner("GET", f"/api/files/{file['id']}/shares").json["items"]
    assert (listed["uses"], listed["max_uses"]) == (2, 2)
    assert "url" not in listed
    assert "token" not in str(listed)


def test_a_share_link_ends_when_it_is_revoked_expires_or_its_file_goes(
    owner: Api, files_api: Api, api_database_url: str
) -> None:
    file = upload(owner, b"hello")
    revoked, expired, gone = (post(owner, file, "shares", {}, 201) for _ in range(3))
    stranger = files_api.as_user(files_api("POST", "/api/users", {"name": "Eve"}).json)
    problem = assert_problem(stranger("DELETE", f"/api/shares/{revoked['id']}"), 404, "not-found")
    assert file["id"] not in str(problem)
    assert owner("DELETE", f"/api/shares/{revoked['id']}").status == 204
    assert_problem(shared(owner, revoked["url"]), 404, "not-found")
    engine = create_engine(api_database_url)
    with engine.begin() as connection:
        late = "UPDATE shares SET expires_at = now() - interval '1 second' WHERE id = CAST(:id AS uuid)"
        connection.execute(text(late), {"id": expired["id"]})
    engine.dispose()
    assert_problem(shared(owner, expired["url"]), 404, "not-found")
    assert shared(owner, gone["url"]).status == 302
    owner("DELETE", f"/api/files/{file['id']}")
    assert_problem(shared(owner, gone["url"]), 404, "not-found")
    assert_problem(owner("POST", f"/api/files/{file['id']}/shares", {}), 404, "not-found")
    assert_problem(shared(owner, "/api/shared/no-such-token"), 404, "not-found")
    assert_problem(owner("DELETE", f"/api/shares/{uuid4()}"), 404, "not-found")
