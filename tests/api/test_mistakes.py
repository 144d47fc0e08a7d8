"""What a review found once, and must not come back: each names what went wrong."""

import base64
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID, uuid4

import pytest
import urllib3
from sqlalchemy import Engine, create_engine, text

from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.db.search import index_files
from chalicelib.runtime import now
from chalicelib.services import trash
from chalicelib.services.enforcement import judge_uploads
from chalicelib.services.inspection import inspect_due
from chalicelib.services.unfinished import measure_unfinished
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore
from tests.api.conftest import Api, assert_problem
from tests.api.files import deliver, upload
from tests.api.test_direct_uploads import begin, complete, send
from tests.api.test_management import detail, own_key, post, read, versions
from tests.notifications import s3_record


class Clockwork:
    """What runs by the clock, on the servers' database and store."""

    def __init__(self, engine: Engine, store: ObjectStore) -> None:
        self.engine, self.store = engine, store

    def transaction(self) -> Any:
        return transaction(self.engine)

    def judge(self) -> list[UUID]:
        inspect_due(self.transaction, self.store, now, 500)
        return [file_id for file_id, _ in judge_uploads(self.transaction, self.store, Settings(), now(), 500)]


@pytest.fixture
def clockwork(api_database_url: str, emulator: Any) -> Iterator[Clockwork]:
    engine = create_catalog_engine(api_database_url)
    yield Clockwork(engine, ObjectStore.connect("us-east-1", emulator.url, None))
    engine.dispose()


@pytest.fixture
def plain_owner(plain_files_api: Api) -> Api:
    return plain_files_api.as_user(plain_files_api("POST", "/api/users", {"name": "Grace"}).json)


def limit(files_api: Api, owner: Api, **limits: Any) -> None:
    answer = files_api("PATCH", f"/api/users/{owner.headers['X-Landfall-User']}", {"limits": limits})
    assert answer.status == 200


# --- moves ------------------------------------------------------------------------------------------------------------


def test_a_move_neither_overwrites_nor_deletes_what_the_catalogue_does_not_know(owner: Api, s3: Any) -> None:
    file, key = upload(owner, b"mine"), own_key(owner, "b.txt")
    s3.put_object(Bucket="versioned", Key=key, Body=b"unknown yet")
    problem = assert_problem(owner("POST", f"/api/files/{file['id']}/move", {"key": key}), 409, "conflict")
    assert "already" in problem["detail"]
    assert s3.get_object(Bucket="versioned", Key=key)["Body"].read() == b"unknown yet"
    assert (detail(owner, file)["key"], read(owner, file)) == (file["key"], b"mine")


def test_a_move_that_fails_gives_the_key_back_for_good(owner: Api, s3: Any, api_database_url: str) -> None:
    file, key = upload(owner, b"mine"), own_key(owner, "b.txt")
    s3.delete_object(Bucket="versioned", Key=file["key"], VersionId=file["version_id"])  # its event is on the way
    assert_problem(owner("POST", f"/api/files/{file['id']}/move", {"key": key}), 409, "conflict")
    other = upload(owner, b"other")
    assert post(owner, other, "move", {"key": key})["key"] == key
    assert "DeleteMarkers" not in s3.list_object_versions(Bucket="versioned", Prefix=key)


@pytest.mark.parametrize("key", ["a/../b", "./a", "a/.."])
def test_keys_that_mean_other_places_elsewhere_are_refused(files_api: Api, key: str) -> None:
    file = upload(files_api)
    assert_problem(files_api("POST", f"/api/files/{file['id']}/move", {"key": key}), 422, "unprocessable")


def test_without_versions_a_moved_file_can_come_back(plain_owner: Api, s3: Any) -> None:
    file, there = upload(plain_owner, b"hello"), own_key(plain_owner, "b.txt")
    post(plain_owner, file, "move", {"key": there})
    back = post(plain_owner, file, "move", {"key": file["key"]})
    assert (back["state"], back["key"], read(plain_owner, back)) == ("stored", file["key"], b"hello")
    assert "Contents" not in s3.list_objects_v2(Bucket="plain", Prefix=there)


def test_a_file_is_moved_once_at_a_time(owner: Api, serve: Any, api_database_url: str) -> None:
    file = upload(owner)
    with serve(api_database_url, AWS_ENDPOINT_URL="http://127.0.0.1:9", LANDFALL_BUCKET="versioned") as api:
        cut_off = api.as_user({"id": owner.headers["X-Landfall-User"]})
        job = cut_off("POST", f"/api/files/{file['id']}/move", {"key": own_key(owner, "a")}).json["job"]
    problem = assert_problem(
        owner("POST", f"/api/files/{file['id']}/move", {"key": own_key(owner, "b")}), 409, "conflict"
    )
    assert "being moved" in problem["detail"]
    assert owner("POST", f"/api/jobs/{job['id']}/cancel").json["state"] == "cancelled"
    assert post(owner, file, "move", {"key": own_key(owner, "b")})["job"] is None


# --- trash and restoring ----------------------------------------------------------------------------------------------


def test_an_operators_trash_is_its_own_unless_it_asks_for_everyones(owner: Api, files_api: Api) -> None:
    file = upload(owner, b"hello")
    owner("DELETE", f"/api/files/{file['id']}")
    assert files_api("DELETE", "/api/trash").json["state"] == "done"
    assert post(owner, file, "restore")["state"] == "stored"
    assert_problem(owner("DELETE", "/api/trash?everyones=true"), 403, "forbidden")
    owner("DELETE", f"/api/files/{file['id']}")
    assert files_api("DELETE", "/api/trash?everyones=true").json["state"] == "done"
    assert_problem(owner("POST", f"/api/files/{file['id']}/restore", {}), 409, "conflict")


def test_emptying_the_trash_leaves_a_living_files_history_and_takes_a_dead_ones_whole(
    owner: Api, files_api: Api, s3: Any
) -> None:
    file = upload(owner, b"hello")
    moved = post(owner, file, "move", {"key": own_key(owner, "b.txt")})
    files_api("DELETE", "/api/trash?everyones=true")
    assert read(owner, file, version_id=file["version_id"]) == b"hello"
    owner("DELETE", f"/api/files/{file['id']}")
    owner("DELETE", "/api/trash")
    for key in (file["key"], moved["key"]):
        assert "Versions" not in s3.list_object_versions(Bucket="versioned", Prefix=key)


def test_while_a_file_is_removed_for_good_it_cannot_be_restored(
    owner: Api, clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = upload(owner, b"hello")
    owner("DELETE", f"/api/files/{file['id']}")
    delete_many, answers = clockwork.store.delete_many, []

    def meanwhile(*arguments: Any) -> Any:
        answers.append(owner("POST", f"/api/files/{file['id']}/restore", {}).status)
        return delete_many(*arguments)

    monkeypatch.setattr(clockwork.store, "delete_many", meanwhile)
    trash._purge(clockwork.transaction, clockwork.store, UUID(file["id"]), now())
    assert answers == [409]


def test_a_restored_zip_does_not_expire_again(owner: Api, clockwork: Clockwork) -> None:
    job = owner("POST", "/api/zips", {"file_ids": [upload(owner)["id"]]}).json
    zipped = {"id": job["result"]["file_id"]}
    owner("DELETE", f"/api/files/{zipped['id']}")
    post(owner, zipped, "restore")
    with clockwork.engine.connect() as connection:
        query = text("SELECT expires_at FROM files WHERE id = CAST(:id AS uuid)")
        assert connection.execute(query, zipped).scalar_one() is None


def test_one_file_that_cannot_be_deleted_keeps_no_others_waiting(
    owner: Api, clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [upload(owner, bytes(number)) for number in range(3)]
    with clockwork.engine.begin() as connection:
        soon = text("UPDATE files SET expires_at = now() - interval '1 second' WHERE id = ANY(CAST(:ids AS uuid[]))")
        connection.execute(soon, {"ids": [file["id"] for file in files]})
    delete = clockwork.store.delete_if

    def refuse_one(bucket: str, key: str, *rest: Any) -> Any:
        if key == files[0]["key"]:
            from chalicelib.errors import StoreUnavailable

            raise StoreUnavailable("No.")
        return delete(bucket, key, *rest)

    monkeypatch.setattr(clockwork.store, "delete_if", refuse_one)
    assert trash.delete_expired(clockwork.transaction, clockwork.store, now(), 100) == 2
    assert trash.delete_expired(clockwork.transaction, clockwork.store, now(), 100) == 0
    assert [owner("GET", f"/api/files/{file['id']}").status for file in files] == [200, 404, 404]


def test_the_version_from_before_versioning_is_restored(files_api: Api, s3: Any, api_database_url: str) -> None:
    engine = create_engine(api_database_url)
    key = f"null-{uuid4()}"
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Suspended"})
    try:
        first = s3.put_object(Bucket="versioned", Key=key, Body=b"first")
    finally:
        s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    second = s3.put_object(Bucket="versioned", Key=key, Body=b"second")
    for number, (answer, version) in enumerate(((first, "null"), (second, second["VersionId"]))):
        fields = {"bucket": "versioned", "version_id": version, "etag": answer["ETag"].strip('"'), "size": 5 + number}
        deliver(engine, s3_record("ObjectCreated:Put", key, sequencer=f"0{number + 1}", **fields))
    engine.dispose()
    (file,) = files_api("GET", f"/api/files?{urlencode({'key': key})}").json["items"]
    restored = post(files_api, file, "restore", {"version_id": "null"})
    assert (restored["size"], read(files_api, restored)) == (5, b"first")


# --- uploads that end otherwise -----------------------------------------------------------------------------------------


def test_aborting_an_upload_that_s3_has_completed_keeps_the_file_and_its_owner(owner: Api, s3: Any) -> None:
    created = owner("POST", "/s3/multipart", {"filename": "a", "type": "text/plain", "metadata": {}}).json
    target = {"Bucket": "versioned", "Key": created["key"], "UploadId": created["uploadId"]}
    part = s3.upload_part(**target, PartNumber=1, Body=b"hello")
    s3.complete_multipart_upload(**target, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    path = f"/s3/multipart/{quote(created['uploadId'], safe='')}?{urlencode({'key': created['key']})}"
    assert owner("DELETE", path).json == {}
    (file,) = owner("GET", f"/api/files?{urlencode({'key': created['key']})}").json["items"]
    assert (file["state"], file["owner_id"]) == ("stored", owner.headers["X-Landfall-User"])


# --- limits -----------------------------------------------------------------------------------------------------------


def test_more_than_was_announced_is_judged_when_it_has_come(
    owner: Api, files_api: Api, s3: Any, clockwork: Clockwork
) -> None:
    limit(files_api, owner, max_file_bytes=1000)
    file = begin(owner, size=1)
    s3.put_object(Bucket="versioned", Key=file["key"], Body=bytes(5000))  # as by parts of a client's own
    assert complete(owner, file)["size"] == 5000
    assert UUID(file["id"]) in clockwork.judge()
    problem = assert_problem(owner("GET", f"/api/files/{file['id']}"), 404, "not-found")
    assert "1000" in problem["detail"]


def test_a_form_that_is_used_again_is_judged_again(owner: Api, files_api: Api, clockwork: Clockwork) -> None:
    limit(files_api, owner, max_bytes=1000)
    forms = [owner("GET", f"/s3/params?filename={number}").json for number in range(3)]

    def fill(size: int) -> None:
        for form in forms:
            sent = urllib3.request("POST", form["url"], fields={**form["fields"], "file": ("x", bytes(size))})
            assert sent.status == 201
            deliver_current(clockwork.engine, clockwork.store, form["fields"]["key"])

    fill(1)
    assert clockwork.judge() == []
    fill(1000)
    assert len(clockwork.judge()) == 2
    usage = owner("GET", f"/api/users/{owner.headers['X-Landfall-User']}/usage").json
    assert (usage["files"], usage["bytes"]) == (1, 1000)
    assert (usage["trash_versions"], usage["trash_bytes"]) == (5, 2003)  # three of one byte, two of a thousand


def deliver_current(engine: Engine, store: ObjectStore, key: str) -> None:
    """The event of what is at a key now."""
    head = store.head("versioned", key)
    fields = {"version_id": head.version_id, "size": head.size, "etag": head.etag, "bucket": "versioned"}
    deliver(engine, s3_record("ObjectCreated:Post", key, sequencer=f"{head.size + 1:08X}", time=now(), **fields))


def test_the_link_of_a_given_up_upload_does_not_get_around_the_quota(
    owner: Api, files_api: Api, clockwork: Clockwork
) -> None:
    limit(files_api, owner, max_files=1)
    given_up = []
    for _ in range(3):
        given_up.append(begin(owner, size=5))
        assert owner("DELETE", f"/api/files/{given_up[-1]['id']}").status == 204
    kept = begin(owner, size=5)
    send(kept["plan"], b"kept!")
    complete(owner, kept)
    for file in given_up:
        assert send(file["plan"], b"later").status == 200
        deliver_current(clockwork.engine, clockwork.store, file["key"])
    assert set(clockwork.judge()) == {UUID(file["id"]) for file in given_up}
    assert detail(owner, kept)["state"] == "stored"


def test_what_a_policy_refused_is_kept_from_its_owner_and_refused_again_if_an_operator_restores_it(
    owner: Api, files_api: Api, clockwork: Clockwork
) -> None:
    limit(files_api, owner, refuse_mismatch=True)
    data = b"%PDF-1.7 not a picture"
    file = begin(owner, size=len(data), media_type="image/png")
    send(file["plan"], data)
    complete(owner, file)
    assert clockwork.judge() == [UUID(file["id"])]
    of_deleted, newest = (versions(owner, file)[place] for place in (1, 0))
    assert newest["is_delete_marker"]
    by_id, path = {"version_id": of_deleted["version_id"]}, f"/api/files/{file['id']}"
    for refused in (owner("POST", f"{path}/restore", {}), owner("POST", f"{path}/restore", by_id)):
        assert_problem(refused, 403, "against-policy")
    assert_problem(owner("GET", f"{path}/download?{urlencode(by_id)}"), 409, "conflict")
    assert read(files_api, file, **by_id) == data
    post(files_api, file, "restore")
    assert clockwork.judge() == [UUID(file["id"])]
    limit(files_api, owner, refuse_mismatch=False)
    post(files_api, file, "restore")
    assert clockwork.judge() == []
    assert read(owner, file, **by_id) == data


def test_an_older_version_that_a_policy_refused_is_kept_from_its_owner(
    owner: Api, files_api: Api, s3: Any, clockwork: Clockwork
) -> None:
    limit(files_api, owner, max_file_bytes=1000)
    file = begin(owner, size=1)
    s3.put_object(Bucket="versioned", Key=file["key"], Body=bytes(5000))
    refused = complete(owner, file)
    assert UUID(file["id"]) in clockwork.judge()
    s3.put_object(Bucket="versioned", Key=file["key"], Body=b"!")
    deliver_current(clockwork.engine, clockwork.store, file["key"])
    assert detail(owner, file)["state"] == "stored"
    answer = owner("GET", f"/api/files/{file['id']}/download?{urlencode({'version_id': refused['version_id']})}")
    assert_problem(answer, 403, "against-policy")


def test_bad_bytes_are_kept_from_their_owner_wherever_they_are(
    owner: Api, files_api: Api, clockwork: Clockwork
) -> None:
    """Overwritten by good ones, or left at an old key, before anybody judged them."""
    limit(files_api, owner, refuse_mismatch=True)
    bad = b"%PDF-1.7 not a picture"
    overwritten = owner("POST", "/api/uploads/sign", {"method": "PUT", "key": "k", "contentType": "image/png"}).json
    for body in (bad, b"\x89PNG\r\n\x1a\n" + bytes(20)):
        urllib3.request("PUT", overwritten["url"], body=body, headers=overwritten["headers"])
        deliver_current(clockwork.engine, clockwork.store, overwritten["key"])
    moved = begin(owner, size=len(bad), media_type="image/png")
    send(moved["plan"], bad)
    left = complete(owner, moved)["version_id"]
    post(owner, moved, "move", {"key": own_key(owner, "b.png")})
    clockwork.judge()
    (file,) = owner("GET", f"/api/files?key={quote(overwritten['key'])}").json["items"]
    older = versions(owner, file)[1]["version_id"]
    refused = owner("GET", f"/api/files/{file['id']}/download?{urlencode({'version_id': older})}")
    assert_problem(refused, 403, "against-policy")
    assert_problem(owner("POST", f"/api/files/{file['id']}/restore", {"version_id": older}), 403, "against-policy")
    assert_problem(owner("POST", f"/api/files/{moved['id']}/restore", {"version_id": left}), 403, "against-policy")
    assert_problem(owner("POST", f"/api/files/{moved['id']}/restore", {}), 403, "against-policy")


@pytest.mark.parametrize("by_version", [True, False])
def test_restores_at_the_same_time_keep_within_the_quota(owner: Api, files_api: Api, by_version: bool) -> None:
    limit(files_api, owner, max_bytes=1500)
    files = []
    for _ in range(6):
        files.append(upload(owner, bytes(1000)))
        assert owner("DELETE", f"/api/files/{files[-1]['id']}").status == 204

    def restore(file: Any) -> int:
        body = {"version_id": file["version_id"]} if by_version else {}
        return owner("POST", f"/api/files/{file['id']}/restore", body).status

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(restore, files))
    assert sorted(statuses) == [200, 403, 403, 403, 403, 403]
    usage = owner("GET", f"/api/users/{owner.headers['X-Landfall-User']}/usage").json
    assert (usage["files"], usage["bytes"]) == (1, 1000)


def test_what_a_dead_restore_has_reserved_is_freed_by_the_clock(owner: Api, clockwork: Clockwork) -> None:
    file = upload(owner, bytes(1000))
    assert owner("DELETE", f"/api/files/{file['id']}").status == 204
    with clockwork.transaction() as session:
        session.execute(text("UPDATE files SET restoring = 1000 WHERE id = :id"), {"id": file["id"]})
    path = f"/api/users/{owner.headers['X-Landfall-User']}/usage"
    assert (owner("GET", path).json["files"], owner("GET", path).json["bytes"]) == (1, 1000)
    assert trash.forget_restores(clockwork.transaction, now()) == 1
    assert (owner("GET", path).json["files"], owner("GET", path).json["bytes"]) == (0, 0)


# --- unfinished uploads -----------------------------------------------------------------------------------------------


def test_parts_of_an_unknown_size_count_while_they_come(owner: Api, files_api: Api, clockwork: Clockwork) -> None:
    limit(files_api, owner, max_bytes=12_000_000)
    begun = owner("POST", "/s3/multipart", {"filename": "large", "metadata": {}}).json
    place = f"/s3/multipart/{begun['uploadId']}"
    key = urlencode({"key": begun["key"]})
    links = [owner("GET", f"{place}/{number}?{key}").json["url"] for number in (1, 2, 3)]
    for link in links[:2]:
        assert urllib3.request("PUT", link, body=bytes(5_500_000)).status == 200
    assert owner("GET", f"{place}/3?{key}").status == 200
    usage = owner("GET", f"/api/users/{owner.headers['X-Landfall-User']}/usage").json
    assert usage["bytes"] == 11_000_000
    assert_problem(owner("POST", "/api/files", {"name": "b", "size": 2_000_000}), 403, "over-quota")
    assert urllib3.request("PUT", links[2], body=bytes(5_500_000)).status == 200
    refused = owner("GET", f"{place}/4?{key}")
    assert (refused.status, refused.json["type"]) == (403, "/problems/over-quota")
    aborted = measure_unfinished(clockwork.transaction, clockwork.store, Settings(), now(), 500)
    assert [reason for _, reason in aborted if "12000000" in reason]
    assert clockwork.store.multipart.list_ids(begun["bucket"], begun["key"]) == []
    assert owner("GET", f"/api/users/{owner.headers['X-Landfall-User']}/usage").json["bytes"] == 0


def test_a_part_of_an_announced_size_is_signed_with_its_length(owner: Api, clockwork: Clockwork) -> None:
    size = 11_000_000
    said = {"name": "large", "size": size, "type": "image/png"}
    begun = owner("POST", "/api/uploads/sign", {"method": "POST", "key": "k", "file": said}).json
    upload_id = clockwork.store.multipart.create("versioned", begun["key"], "image/png")
    asked = {"method": "PUT", "key": begun["key"], "uploadId": upload_id, "file": said}
    for number, length in ((1, 5 * 1024**2), (2, 5 * 1024**2), (3, size - 10 * 1024**2)):
        url = owner("POST", "/api/uploads/sign", asked | {"partNumber": number}).json["url"]
        assert "content-length" in url
        assert urllib3.request("PUT", url, body=bytes(length)).status == 200
    assert_problem(owner("POST", "/api/uploads/sign", asked | {"partNumber": 4}), 400, "invalid-input")
    cut_anew = asked | {"partNumber": 2, "file": said | {"partSize": 8_000_000}}
    url = owner("POST", "/api/uploads/sign", cut_anew).json["url"]
    assert urllib3.request("PUT", url, body=bytes(5 * 1024**2)).status == 200, "as it was cut at the beginning"


def test_a_client_may_cut_a_file_in_its_own_way_from_the_beginning(owner: Api, clockwork: Clockwork) -> None:
    said = {"name": "large", "size": 11_000_000, "partSize": 8_000_000}
    begun = owner("POST", "/api/uploads/sign", {"method": "POST", "key": "k", "file": said}).json
    upload_id = clockwork.store.multipart.create("versioned", begun["key"], None)
    asked = {"method": "PUT", "key": begun["key"], "uploadId": upload_id, "partNumber": 2, "file": said}
    url = owner("POST", "/api/uploads/sign", asked).json["url"]
    assert urllib3.request("PUT", url, body=bytes(3_000_000)).status == 200


def test_a_second_multipart_upload_of_a_file_ends_when_the_first_is_complete(owner: Api, clockwork: Clockwork) -> None:
    said = {"name": "large", "size": 5}
    begun = owner("POST", "/api/uploads/sign", {"method": "POST", "key": "k", "file": said}).json
    other, used = (clockwork.store.multipart.create("versioned", begun["key"], None) for _ in range(2))
    asked = {"method": "PUT", "key": begun["key"], "partNumber": 1, "file": said}
    links = [owner("POST", "/api/uploads/sign", asked | {"uploadId": one}).json["url"] for one in (other, used)]
    assert [urllib3.request("PUT", link, body=b"12345").status for link in links] == [200, 200]
    parts = clockwork.store.multipart.list_parts("versioned", begun["key"], used)
    clockwork.store.multipart.complete("versioned", begun["key"], used, parts)
    deliver_current(clockwork.engine, clockwork.store, begun["key"])
    measure_unfinished(clockwork.transaction, clockwork.store, Settings(), now(), 500)
    assert clockwork.store.multipart.list_ids("versioned", begun["key"]) == []
    assert urllib3.request("PUT", links[0], body=b"12345").status == 404


def test_a_second_multipart_upload_of_the_same_file_counts_too(
    owner: Api, files_api: Api, clockwork: Clockwork
) -> None:
    limit(files_api, owner, max_bytes=12_000_000)
    said = {"name": "large", "size": 6_000_000}
    begun = owner("POST", "/api/uploads/sign", {"method": "POST", "key": "k", "file": said}).json
    for _ in range(3):
        upload_id = clockwork.store.multipart.create("versioned", begun["key"], None)
        asked = {"method": "PUT", "key": begun["key"], "uploadId": upload_id, "partNumber": 1, "file": said}
        url = owner("POST", "/api/uploads/sign", asked).json["url"]
        assert urllib3.request("PUT", url, body=bytes(5 * 1024**2)).status == 200
    aborted = measure_unfinished(clockwork.transaction, clockwork.store, Settings(), now(), 500)
    assert ["15728640" in reason for _, reason in aborted] == [True]
    assert clockwork.store.multipart.list_ids("versioned", begun["key"]) == []


def test_of_an_unknown_size_parts_can_be_signed_with_their_own(owner: Api, files_api: Api) -> None:
    limit(files_api, owner, max_bytes=12_000_000)
    file = begin(owner, method="multipart")
    path = f"/api/files/{file['id']}/parts"
    (part,) = owner("POST", path, {"part_numbers": [1], "size": 5_300_000}).json["parts"]
    assert part["size"] == 5_300_000
    assert_problem(owner("POST", path, {"part_numbers": [1, 2, 3], "size": 5_300_000}), 403, "over-quota")


def test_a_plan_whose_parts_s3_has_lost_begins_anew(owner: Api, s3: Any) -> None:
    file = begin(owner, size=20_000_000, method="multipart")
    s3.abort_multipart_upload(Bucket="versioned", Key=file["key"], UploadId=file["plan"]["upload_id"])
    plan = owner("POST", f"/api/files/{file['id']}/upload").json["plan"]
    assert plan["upload_id"] != file["plan"]["upload_id"]
    (part, _) = owner("POST", f"/api/files/{file['id']}/parts", {"part_numbers": [1, 2]}).json["parts"]
    assert urllib3.request("PUT", part["url"], body=bytes(part["size"])).status == 200


def test_a_hash_that_s3_has_verified_is_known_at_once(owner: Api) -> None:
    data = uuid4().bytes
    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
    file = begin(owner, size=16, sha256=checksum)
    send(file["plan"], data)
    assert complete(owner, file)["sha256"] == checksum
    assert begin(owner, "again", size=16, sha256=checksum, dedupe=True)["state"] == "stored"
    assert upload(owner, data)["sha256"] == checksum


def test_what_inspection_learns_is_nobodys_lost_update(owner: Api, clockwork: Clockwork) -> None:
    file = begin(owner, size=5)
    send(file["plan"], b"hello")
    complete(owner, file)
    known = owner("GET", f"/api/files/{file['id']}").headers["ETag"]
    clockwork.judge()
    learnt = owner("GET", f"/api/files/{file['id']}", If_None_Match=known)
    assert (learnt.status, learnt.json["detected_media_type"]) == (200, "text/plain")
    assert owner("PATCH", f"/api/files/{file['id']}", {"name": "x"}, If_Match=known).status == 200
    assert owner("PATCH", f"/api/files/{file['id']}", {"name": "y"}, If_Match=known).status == 412


def test_asking_again_with_another_type_does_not_get_around_the_policy(owner: Api, files_api: Api) -> None:
    limit(files_api, owner, media_types=["image/png"])
    first = owner("POST", "/api/uploads/sign", {"method": "PUT", "key": "k", "contentType": "image/png"})
    assert first.status == 200
    second = owner("POST", "/api/uploads/sign", {"method": "PUT", "key": "k", "contentType": "text/html"})
    assert_problem(second, 403, "against-policy")


def test_a_duplicate_counts_with_its_own_size(owner: Api, files_api: Api, clockwork: Clockwork) -> None:
    data = uuid4().bytes * 300
    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
    file = begin(owner, size=len(data), media_type="text/plain", sha256=checksum)
    send(file["plan"], data)
    complete(owner, file)
    clockwork.judge()
    assert detail(owner, file)["sha256"] == checksum
    limit(files_api, owner, max_bytes=len(data) + 10)
    wanted = {"name": "b", "sha256": checksum, "dedupe": True}
    assert owner("POST", "/api/files", wanted | {"size": 1}).json["duplicate"] is None
    assert_problem(owner("POST", "/api/files", wanted), 403, "over-quota")


def test_restoring_many_and_changing_sessions_respect_quotas(owner: Api, files_api: Api) -> None:
    files = [upload(owner, bytes(600)) for _ in range(4)]
    ids = {"file_ids": [file["id"] for file in files]}
    owner("POST", "/api/files/bulk-delete", ids)
    limit(files_api, owner, max_bytes=1300)
    results = owner("POST", "/api/files/bulk-restore", ids).json["results"]
    assert [result["status"] for result in results] == ["done", "done", "failed", "failed"]
    assert results[2]["problem"]["type"] == "/problems/over-quota"
    owner("POST", "/api/sessions", {"session_id": "one", "limits": {"max_files": 1}})
    changed = [owner("PATCH", f"/api/files/{file['id']}", {"session_id": "one"}).status for file in files[:2]]
    assert changed == [200, 403]


def test_looking_at_a_share_with_head_reveals_no_link(owner: Api) -> None:
    share = post(owner, upload(owner), "shares", {"max_uses": 1}, 201)
    path = share["url"][share["url"].index("/api/shared/") :]
    head = Api(owner.port, owner.log)("HEAD", path)
    assert (head.status, head.headers["Location"], head.body) == (200, None, b"")


# --- at the same time -------------------------------------------------------------------------------------------------


def test_words_changed_while_they_are_indexed_are_indexed_again(owner: Api, clockwork: Clockwork) -> None:
    file, word = begin(owner, "before.txt"), f"w{uuid4().hex[:12]}"
    with clockwork.engine.connect() as changing:
        changing.execute(
            text("UPDATE files SET name = :name WHERE id = CAST(:id AS uuid)"), {"name": word, "id": file["id"]}
        )
        with clockwork.transaction() as session:
            index_files(session, 5000)
        changing.commit()
    with clockwork.transaction() as session:
        index_files(session, 5000)
    assert [item["id"] for item in owner("GET", f"/api/files?q={word}").json["items"]] == [file["id"]]


def test_deleting_many_and_changing_them_at_once_ends_in_no_deadlock(owner: Api) -> None:
    owner("POST", "/api/sessions", {"session_id": "s"})
    ids = [begin(owner, str(number), session_id="s")["id"] for number in range(20)]
    statuses: list[int] = []

    def change() -> None:
        for file_id in reversed(ids):
            statuses.append(owner("PATCH", f"/api/files/{file_id}", {"session_id": None}).status)

    def delete() -> None:
        for start in range(0, 20, 5):
            statuses.append(owner("POST", "/api/files/bulk-delete", {"file_ids": ids[start : start + 5]}).status)

    threads = [threading.Thread(target=work) for work in (change, delete)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 404}
    usage = owner("GET", f"/api/users/{owner.headers['X-Landfall-User']}/usage").json
    assert (usage["files"], usage["bytes"]) == (0, 0)


# --- garbage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/api/files?metadata=foo&metadata.x=1", f"/s3/multipart/u/batch?key=k&partNumbers={'9' * 5000}"],
)
def test_garbage_is_the_callers_fault(owner: Api, path: str) -> None:
    assert owner("GET", path).status == 400
