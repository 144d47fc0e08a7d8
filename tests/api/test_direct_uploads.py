"""Uploads straight to S3 with what the API signed: what S3 takes, what it refuses, and what the file says then."""

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import urllib3
from sqlalchemy import create_engine, text

from tests.api.conftest import Api, assert_problem
from tests.api.files import deliver, unique
from tests.notifications import s3_record

MIB = 1024 * 1024
PDF = "application/pdf"


def sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def begin(api: Api, name: str = "a.bin", **fields: Any) -> Any:
    answer = api("POST", "/api/files", {"name": name, **fields})
    assert answer.status == 201, answer.body
    return answer.json


def send(plan: dict[str, Any], data: bytes, **headers: str) -> urllib3.BaseHTTPResponse:
    """Send the bytes as the plan says; ``headers`` (with underscores) replace some of its own."""
    if plan["method"] == "post":
        fields = {**plan["fields"], "file": ("whatever", data)}
        return urllib3.request("POST", plan["url"], fields=fields)
    sent = plan["headers"] | {name.replace("_", "-"): value for name, value in headers.items()}
    return urllib3.request("PUT", plan["url"], body=data, headers=sent)


def complete(api: Api, file: dict[str, Any], **body: Any) -> Any:
    answer = api("POST", f"/api/files/{file['id']}/complete", body)
    assert answer.status == 200, answer.body
    return answer.json


@pytest.mark.parametrize("method", ["put", "post"])
@pytest.mark.parametrize("data", [b"", b"%PDF-1.7 hello"], ids=["empty", "small"])
def test_one_signed_request_stores_a_file(owner: Api, s3: Any, method: str, data: bytes) -> None:
    file = begin(owner, "Übersicht 1.pdf", size=len(data), media_type=PDF, method=method, tags=["t"])
    assert (file["state"], file["name"], file["plan"]["method"]) == ("pending", "Übersicht 1.pdf", method)
    assert file["upload"]["size"] == len(data)
    sent = send(file["plan"], data)
    assert sent.status in (200, 201), sent.data
    stored = complete(owner, file)
    assert (stored["id"], stored["state"], stored["size"], stored["upload"]) == (file["id"], "stored", len(data), None)
    assert (stored["media_type"], stored["tags"], stored["name"]) == (PDF, ["t"], "Übersicht 1.pdf")
    assert complete(owner, file) == stored
    assert s3.get_object(Bucket=stored["bucket"], Key=stored["key"])["Body"].read() == data


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b"12345 and more", {}),
        (b"123", {}),
        (b"54321", {}),
        (b"12345", {"Content_Type": "text/html"}),
        (b"12345", {"If_None_Match": ""}),
    ],
    ids=["longer", "shorter", "other bytes", "other type", "overwriting"],
)
def test_s3_refuses_what_was_not_announced_and_the_file_says_why(
    owner: Api, data: bytes, headers: dict[str, str]
) -> None:
    file = begin(owner, size=5, media_type="text/plain", sha256=sha256(b"12345"))
    assert send(file["plan"], data, **headers).status in (400, 403)
    problem = assert_problem(owner("POST", f"/api/files/{file['id']}/complete", {}), 409, "not-arrived")
    assert "5 bytes of type text/plain of the announced SHA-256" in problem["detail"]
    found = owner("GET", f"/api/files/{file['id']}").json
    assert (found["state"], found["upload"]["problem"]) == ("pending", problem["detail"])
    # Nothing is lost: the same link still takes the right bytes.
    assert send(file["plan"], b"12345").status == 200
    assert complete(owner, file)["size"] == 5


@pytest.mark.parametrize("data", [b"12345 and more", b"123"])
def test_a_form_takes_the_announced_length_only(owner: Api, data: bytes) -> None:
    file = begin(owner, size=5, media_type="text/plain", method="post")
    assert send(file["plan"], data).status in (400, 403)


def test_a_link_does_not_overwrite_what_is_there(owner: Api) -> None:
    file = begin(owner, size=5)
    assert send(file["plan"], b"first").status == 200
    assert send(file["plan"], b"other").status == 412
    assert complete(owner, file)["etag"] == hashlib.md5(b"first", usedforsecurity=False).hexdigest()


def test_the_event_and_complete_agree_whichever_comes_first(owner: Api, s3: Any, api_database_url: str) -> None:
    engine = create_engine(api_database_url)
    for event_first in (True, False):
        file = begin(owner, size=5)
        send(file["plan"], b"bytes")
        head = s3.head_object(Bucket=file["bucket"], Key=file["key"])
        record = s3_record(
            "ObjectCreated:Put",
            file["key"],
            bucket=file["bucket"],
            version_id=head["VersionId"],
            size=5,
            etag=head["ETag"].strip('"'),
        )
        if event_first:
            deliver(engine, record)
        stored = complete(owner, file)
        deliver(engine, record, record)
        assert stored["state"] == "stored"
        again = complete(owner, file)
        assert (again["id"], again["version_id"], again["etag"]) == (file["id"], head["VersionId"], stored["etag"])
        assert len(owner("GET", f"/api/files/{file['id']}/versions").json["items"]) == 1
        with engine.connect() as connection:
            count = "SELECT count(*) FROM files WHERE key = :key"
            assert connection.execute(text(count), {"key": file["key"]}).scalar_one() == 1
    engine.dispose()


def test_a_large_file_comes_in_parts_and_is_resumed(owner: Api, s3: Any) -> None:
    data = bytes(range(256)) * (33 * MIB // 256)
    file = begin(owner, size=len(data), media_type="video/mp4", method="multipart")
    plan = file["plan"]
    assert (plan["part_size"], plan["part_count"], plan["url"]) == (16 * MIB, 3, None)
    place = f"/api/files/{file['id']}/parts"
    signed = owner("POST", place, {"part_numbers": [1, 2, 3]}).json["parts"]
    assert [part["size"] for part in signed] == [16 * MIB, 16 * MIB, MIB]
    for part in (signed[2], signed[0]):
        assert send_part(part, data, plan).status == 200
    assert send_part({**signed[1], "number": 3}, data, plan).status == 403  # another length than the signed one

    problem = assert_problem(owner("POST", f"/api/files/{file['id']}/complete", {}), 409, "not-arrived")
    assert "Missing: 2." in problem["detail"]
    assert [(part["number"], part["size"]) for part in owner("GET", place).json["parts"]] == [(1, 16 * MIB), (3, MIB)]
    fresh = owner("POST", place, {"part_numbers": [2]}).json["parts"][0]
    assert send_part(fresh, data, plan).status == 200
    stored = complete(owner, file)
    assert (stored["state"], stored["size"], stored["media_type"]) == ("stored", len(data), "video/mp4")
    assert complete(owner, file) == stored
    body = s3.get_object(Bucket=stored["bucket"], Key=stored["key"])["Body"].read()
    assert hashlib.md5(body, usedforsecurity=False).digest() == hashlib.md5(data, usedforsecurity=False).digest()
    assert_problem(owner("GET", place), 409, "conflict")


def send_part(part: dict[str, Any], data: bytes, plan: dict[str, Any]) -> urllib3.BaseHTTPResponse:
    start = (part["number"] - 1) * plan["part_size"]
    return urllib3.request("PUT", part["url"], body=data[start : start + plan["part_size"]])


def test_an_empty_file_can_come_in_parts_too(owner: Api) -> None:
    file = begin(owner, size=0, method="multipart")
    (part,) = owner("POST", f"/api/files/{file['id']}/parts", {"part_numbers": [1]}).json["parts"]
    assert part["size"] == 0
    assert send_part(part, b"", file["plan"]).status == 200
    assert complete(owner, file)["size"] == 0


def test_parts_that_the_plan_does_not_have_are_refused(owner: Api) -> None:
    file = begin(owner, size=20 * MIB, method="multipart")
    place = f"/api/files/{file['id']}/parts"
    assert_problem(owner("POST", place, {"part_numbers": [1, 3]}), 400, "invalid-input", ("body", "part_numbers"))
    for numbers in ([], [0], [10_001], [1] * 1001):
        assert owner("POST", place, {"part_numbers": numbers}).status == 400
    assert_problem(owner("POST", f"/api/files/{file['id']}/complete", {}), 409, "not-arrived")
    named = {"parts": [{"number": 1, "etag": "no-such"}]}
    assert_problem(owner("POST", f"/api/files/{file['id']}/complete", named), 409, "not-arrived")


def test_a_file_of_five_terabytes_is_planned_in_at_most_ten_thousand_parts(owner: Api) -> None:
    file = begin(owner, size=5 * 1024**4)
    assert file["plan"]["method"] == "multipart"
    assert file["plan"]["part_count"] <= 10_000
    answer = owner("POST", f"/api/files/{file['id']}/parts", {"part_numbers": [file["plan"]["part_count"]]})
    assert 0 < answer.json["parts"][0]["size"] <= file["plan"]["part_size"] <= 5 * 1024**3
    assert_problem(
        owner("POST", "/api/files", {"name": "x", "size": 5 * 1024**4 + 1}), 400, "invalid-input", ("body", "size")
    )
    too_much = {"name": "x", "size": 6 * 1024**3, "method": "put"}
    assert_problem(owner("POST", "/api/files", too_much), 400, "invalid-input", ("body", "method"))


def test_deleting_a_pending_file_aborts_its_upload(owner: Api, s3: Any) -> None:
    file = begin(owner, size=20 * MIB, method="multipart")
    (part,) = owner("POST", f"/api/files/{file['id']}/parts", {"part_numbers": [1]}).json["parts"]
    assert owner("DELETE", f"/api/files/{file['id']}").status == 204
    assert send_part(part, bytes(16 * MIB), file["plan"]).status == 404
    uploads = s3.list_multipart_uploads(Bucket=file["bucket"], Prefix=file["key"]).get("Uploads", [])
    assert uploads == []
    assert_problem(owner("GET", f"/api/files/{file['id']}"), 404, "not-found")
    assert_problem(owner("POST", f"/api/files/{file['id']}/complete", {}), 404, "not-found")


def test_links_are_renewed_as_long_as_the_bytes_have_not_come(owner: Api) -> None:
    file = begin(owner, size=5)
    renewed = owner("POST", f"/api/files/{file['id']}/upload")
    assert renewed.status == 200
    assert renewed.json["plan"]["expires_at"] >= file["plan"]["expires_at"]
    assert send(renewed.json["plan"], b"bytes").status == 200
    complete(owner, file)
    assert_problem(owner("POST", f"/api/files/{file['id']}/upload"), 409, "conflict")
    assert_problem(owner("POST", f"/api/files/{file['id']}/parts", {"part_numbers": [1]}), 409, "conflict")


def test_nobody_else_gets_links_for_a_file(owner: Api, files_api: Api) -> None:
    file = begin(owner, size=20 * MIB, method="multipart")
    other = files_api.as_user(files_api("POST", "/api/users", {"name": "Eve"}).json)
    place = f"/api/files/{file['id']}"
    assert_problem(other("POST", f"{place}/upload"), 404, "not-found")
    assert_problem(other("GET", f"{place}/parts"), 404, "not-found")
    assert_problem(other("POST", f"{place}/parts", {"part_numbers": [1]}), 404, "not-found")
    assert_problem(other("POST", f"{place}/complete", {}), 404, "not-found")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"size": -1}, "size"),
        ({"size": "many"}, "size"),
        ({"media_type": "nonsense"}, "media_type"),
        ({"media_type": "text/plain\nX: y"}, "media_type"),
        ({"sha256": "abc"}, "sha256"),
        ({"sha256": "zz" * 22}, "sha256"),
        ({"method": "fax"}, "method"),
        ({"key": "my/own/key"}, "key"),
    ],
)
def test_wrong_announcements_are_refused_and_leave_nothing(owner: Api, fields: dict[str, Any], wrong: str) -> None:
    answer = owner("POST", "/api/files", {"name": "x", **fields})
    assert_problem(answer, 400, "invalid-input", ("body", wrong))
    assert owner("GET", "/api/files").json["items"] == []


def test_bytes_that_are_there_already_are_offered_and_copied_without_sending_them(
    owner: Api, s3: Any, api_database_url: str
) -> None:
    data = unique("content").encode()
    first = begin(owner, "one.txt", size=len(data), media_type="text/plain", sha256=sha256(data))
    assert (first["duplicate"], first["sha256"]) == (None, None)
    send(first["plan"], data)
    complete(owner, first)
    verify(api_database_url, first, sha256(data))

    offered = begin(owner, "two.txt", size=len(data), sha256=sha256(data))
    assert offered["duplicate"]["id"] == first["id"]
    assert offered["plan"]["method"] == "put"
    third = begin(owner, "three.md", size=len(data), media_type="text/markdown", sha256=sha256(data), dedupe=True)
    assert (third["state"], third["plan"], third["name"]) == ("stored", None, "three.md")
    assert third["id"] != first["id"]
    copied = s3.get_object(Bucket=third["bucket"], Key=third["key"])
    assert (copied["Body"].read(), copied["ContentType"]) == (data, "text/markdown")

    s3.delete_object(
        Bucket=first["bucket"], Key=first["key"], VersionId=owner("GET", f"/api/files/{first['id']}").json["version_id"]
    )
    gone = begin(owner, "four.txt", size=len(data), sha256=sha256(data), dedupe=True)
    assert (gone["state"], gone["plan"]["method"]) == ("pending", "put")


def verify(url: str, file: dict[str, Any], checksum: str) -> None:
    """As inspection does with the checksum that S3 has verified."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE files SET sha256 = :sum WHERE id = CAST(:id AS uuid)"), {"sum": checksum, "id": file["id"]}
        )
    engine.dispose()


def test_others_files_are_not_offered(owner: Api, files_api: Api, api_database_url: str) -> None:
    data = unique("secret").encode()
    first = begin(owner, size=len(data), sha256=sha256(data))
    send(first["plan"], data)
    complete(owner, first)
    verify(api_database_url, first, sha256(data))
    other = files_api.as_user(files_api("POST", "/api/users", {"name": "Eve"}).json)
    file = begin(other, size=len(data), sha256=sha256(data), dedupe=True)
    assert (file["duplicate"], file["state"]) == (None, "pending")


def test_fifty_uploads_at_once_do_not_exceed_the_quota(files_api: Api) -> None:
    user = files_api("POST", "/api/users", {"name": "Greedy", "limits": {"max_bytes": 1000, "max_files": 30}}).json
    api = files_api.as_user(user)

    def ask(number: int) -> int:
        return api("POST", "/api/files", {"name": f"{number}", "size": 100}).status

    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(ask, range(50)))
    assert sorted(set(statuses)) == [201, 403]
    assert statuses.count(201) == 10
    assert_problem(api("POST", "/api/files", {"name": "x", "size": 1}), 403, "over-quota")
    assert api("POST", "/api/files", {"name": "x", "size": 0}).status == 201


def test_policies_of_user_and_session_refuse_sizes_types_and_too_much(files_api: Api) -> None:
    limits = {"max_file_bytes": 50, "media_types": ["image/*", "text/plain"]}
    user = files_api("POST", "/api/users", {"name": "Limited", "limits": limits}).json
    api = files_api.as_user(user)
    for fields in ({"size": 51, "media_type": "image/png"}, {"size": 5, "media_type": "text/html"}, {"size": 5}):
        assert_problem(api("POST", "/api/files", {"name": "x", **fields}), 403, "against-policy")
    picture = {"name": "x", "size": 50, "media_type": "image/png"}
    assert api("POST", "/api/files", picture).status == 201
    assert api("POST", "/api/sessions", {"session_id": "small", "limits": {"max_bytes": 60}}).status == 201
    assert api("POST", "/api/files", picture | {"session_id": "small"}).status == 201
    assert_problem(api("POST", "/api/files", picture | {"session_id": "small"}), 403, "over-quota")
    assert api("GET", "/api/sessions/small/usage").json["bytes"] == 50
    assert api("GET", f"/api/users/{user['id']}/usage").json["bytes"] == 100
    change = {"limits": {"max_bytes": 1}}
    assert_problem(api("PATCH", f"/api/users/{user['id']}", change), 403, "forbidden")
    assert files_api("PATCH", f"/api/users/{user['id']}", change).json["limits"]["max_bytes"] == 1
    assert_problem(api("POST", "/api/files", {"name": "x", "size": 0}), 403, "over-quota")


def test_usage_follows_what_happens_to_files(owner: Api) -> None:
    def used() -> tuple[int, int]:
        user = owner.headers["X-Landfall-User"]
        usage = owner("GET", f"/api/users/{user}/usage").json
        return usage["files"], usage["bytes"]

    assert used() == (0, 0)
    file = begin(owner, size=7, session_id="s")
    assert used() == (1, 7)
    send(file["plan"], b"7 bytes")
    complete(owner, file)
    assert used() == (1, 7)
    assert owner("GET", "/api/sessions/s/usage").json["bytes"] == 7
    owner("PATCH", f"/api/files/{file['id']}", {"session_id": None})
    assert owner("GET", "/api/sessions/s/usage").json["bytes"] == 0
    assert used() == (1, 7)
    owner("DELETE", f"/api/files/{file['id']}")
    assert used() == (0, 0)
