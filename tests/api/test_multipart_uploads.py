"""Uploads in parts: planned, signed part by part, resumed, given up."""

import hashlib
from typing import Any

import urllib3

from tests.support.api import Api, assert_problem
from tests.support.uploads import MIB, begin, complete, send_part
from tests.support.users import limit


def test_an_upload_in_parts_is_resumed(owner: Api, s3: Any) -> None:
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


def test_an_empty_file_is_uploaded_as_one_part(owner: Api) -> None:
    file = begin(owner, size=0, method="multipart")

    (part,) = owner("POST", f"/api/files/{file['id']}/parts", {"part_numbers": [1]}).json["parts"]
    assert part["size"] == 0
    assert send_part(part, b"", file["plan"]).status == 200
    assert complete(owner, file)["size"] == 0


def test_parts_outside_the_plan_are_refused(owner: Api) -> None:
    file = begin(owner, size=20 * MIB, method="multipart")
    place = f"/api/files/{file['id']}/parts"
    assert_problem(owner("POST", place, {"part_numbers": [1, 3]}), 400, "invalid-input", ("body", "part_numbers"))
    for numbers in ([], [0], [10_001], [1] * 1001):
        assert owner("POST", place, {"part_numbers": numbers}).status == 400
    assert_problem(owner("POST", f"/api/files/{file['id']}/complete", {}), 409, "not-arrived")

    named = {"parts": [{"number": 1, "etag": "no-such"}]}
    assert_problem(owner("POST", f"/api/files/{file['id']}/complete", named), 409, "not-arrived")


def test_parts_of_a_file_of_unknown_size_are_signed_with_their_own_size(owner: Api, files_api: Api) -> None:
    limit(files_api, owner, max_bytes=12_000_000)
    file = begin(owner, method="multipart")
    path = f"/api/files/{file['id']}/parts"

    (part,) = owner("POST", path, {"part_numbers": [1], "size": 5_300_000}).json["parts"]
    assert part["size"] == 5_300_000
    assert_problem(owner("POST", path, {"part_numbers": [1, 2, 3], "size": 5_300_000}), 403, "over-quota")


def test_a_file_of_five_terabytes_is_planned_in_at_most_ten_thousand_parts(owner: Api) -> None:
    file = begin(owner, size=5 * 1024**4)
    assert file["plan"]["method"] == "multipart"
    assert file["plan"]["part_count"] <= 10_000

    answer = owner("POST", f"/api/files/{file['id']}/parts", {"part_numbers": [file["plan"]["part_count"]]})
    assert 0 < answer.json["parts"][0]["size"] <= file["plan"]["part_size"] <= 5 * 1024**3

    too_large = owner("POST", "/api/files", {"name": "x", "size": 5 * 1024**4 + 1})
    assert_problem(too_large, 400, "invalid-input", ("body", "size"))
    too_much = {"name": "x", "size": 6 * 1024**3, "method": "put"}
    assert_problem(owner("POST", "/api/files", too_much), 400, "invalid-input", ("body", "method"))


def test_deleting_a_pending_file_aborts_its_upload(owner: Api, s3: Any) -> None:
    file = begin(owner, size=20 * MIB, method="multipart")
    (part,) = owner("POST", f"/api/files/{file['id']}/parts", {"part_numbers": [1]}).json["parts"]

    assert owner("DELETE", f"/api/files/{file['id']}").status == 204
    assert send_part(part, bytes(16 * MIB), file["plan"]).status == 404
    assert s3.list_multipart_uploads(Bucket=file["bucket"], Prefix=file["key"]).get("Uploads", []) == []
    assert_problem(owner("GET", f"/api/files/{file['id']}"), 404, "not-found")
    assert_problem(owner("POST", f"/api/files/{file['id']}/complete", {}), 404, "not-found")


def test_an_upload_that_s3_has_lost_begins_anew(owner: Api, s3: Any) -> None:
    file = begin(owner, size=20_000_000, method="multipart")
    s3.abort_multipart_upload(Bucket="versioned", Key=file["key"], UploadId=file["plan"]["upload_id"])

    plan = owner("POST", f"/api/files/{file['id']}/upload").json["plan"]
    assert plan["upload_id"] != file["plan"]["upload_id"]

    (part, _) = owner("POST", f"/api/files/{file['id']}/parts", {"part_numbers": [1, 2]}).json["parts"]
    assert urllib3.request("PUT", part["url"], body=bytes(part["size"])).status == 200
