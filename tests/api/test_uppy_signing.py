"""Single requests to S3 that the API signs for Uppy 6, whose `signRequest` it answers."""

import json
from typing import Any

import pytest
import urllib3

from tests.support.api import Api, assert_problem
from tests.support.clockwork import Clockwork
from tests.support.files import find_by_key
from tests.support.uploads import MIB, complete, put_part, send_fields
from tests.support.users import new_member

PROPOSED = "0b3d1c6e-8a55-4c5e-9d0b-1f2e3a4b5c6d-Übung 1.txt"


def sign(api: Api, **body: Any) -> Any:
    answer = api("POST", "/api/uploads/sign", body)
    assert answer.status == 200, answer.body
    return answer.json


def begin_at_s3(url: str, headers: dict[str, str] | None = None) -> str:
    """Begin an upload in parts by a signed request; says its id."""
    answer = urllib3.request("POST", url, headers=headers)
    return answer.data.decode().partition("<UploadId>")[2].partition("</UploadId>")[0]


def test_a_signed_put_stores_a_file_under_the_servers_key(owner: Api) -> None:
    signed = sign(owner, method="PUT", key=PROPOSED, contentType="text/plain")
    assert signed["key"] != PROPOSED

    sent = urllib3.request("PUT", signed["url"], body=b"hello", headers={"Content-Type": "text/plain"})
    assert sent.status == 200, sent.data

    file = find_by_key(owner, signed["key"])
    assert (file["name"], complete(owner, file)["media_type"]) == ("Übung 1.txt", "text/plain")


def test_the_same_proposed_key_goes_on_with_the_same_file(owner: Api) -> None:
    first, second = (sign(owner, method="PUT", key=PROPOSED, contentType="text/plain") for _ in range(2))
    assert first["key"] == second["key"]
    assert len(owner("GET", "/api/files").json["items"]) == 1


def test_the_same_key_in_another_session_is_another_file(owner: Api) -> None:
    keys = []
    for session_id in ("a", "b", None, "a"):
        meta = {} if session_id is None else {"session_id": session_id}
        said = {"name": "a.txt", "size": 5, "type": "text/plain", "meta": meta}
        keys.append(sign(owner, method="PUT", key="same", contentType="text/plain", file=said)["key"])
    assert (len(set(keys)), keys[0]) == (3, keys[3])
    assert [find_by_key(owner, key)["session_id"] for key in keys[:3]] == ["a", "b", None]


def test_the_announced_size_is_signed_and_metadata_is_kept(owner: Api) -> None:
    said = {"name": "a.txt", "size": 5, "type": "text/plain", "meta": {"name": "a.txt", "camera": "Leica"}}

    signed = sign(owner, method="PUT", key="x-a.txt", contentType="text/plain", file=said)
    assert urllib3.request("PUT", signed["url"], body=b"too long", headers=signed["headers"]).status == 403
    assert urllib3.request("PUT", signed["url"], body=b"hello", headers=signed["headers"]).status == 200
    assert find_by_key(owner, signed["key"])["metadata"] == {"camera": "Leica"}


def test_a_proposed_key_has_no_more_bytes_than_s3_takes(owner: Api) -> None:
    for key in ("x" * 1025, "日" * 342):
        answer = owner("POST", "/api/uploads/sign", {"method": "PUT", "key": key})
        assert_problem(answer, 400, "invalid-input", ("body", "key"))
    assert sign(owner, method="PUT", key="日" * 341)["key"]


def test_a_put_of_unknown_length_becomes_a_form_under_a_quota(files_api: Api) -> None:
    api = new_member(files_api, "Limited", limits={"max_bytes": 10})
    signed = sign(api, method="PUT", key="a", contentType="text/plain")

    for size, status in ((11, 400), (10, 201)):
        assert send_fields(signed, bytes(size)).status == status


def test_a_client_uploads_parts_with_signed_requests_alone(owner: Api) -> None:
    created = sign(owner, method="POST", key=PROPOSED)
    upload_id = begin_at_s3(created["url"], {"Content-Type": "video/mp4"})
    same = {"key": created["key"], "uploadId": upload_id}

    etag = put_part(sign(owner, method="PUT", partNumber=1, **same)["url"], b"hello")
    listed = urllib3.request("GET", sign(owner, method="GET", **same)["url"])
    assert etag.strip('"') in listed.data.decode()

    body = (
        f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    )
    url = sign(owner, method="POST", **same)["url"]
    done = urllib3.request("POST", url, body=body, headers={"Content-Type": "application/xml"})
    assert done.status == 200, done.data

    file = find_by_key(owner, created["key"])
    assert (file["name"], complete(owner, file)["size"]) == ("Übung 1.txt", 5)


def test_a_client_aborts_and_deletes_with_signed_requests(owner: Api) -> None:
    created = sign(owner, method="POST", key=PROPOSED)
    upload_id = begin_at_s3(created["url"])

    aborted = sign(owner, method="DELETE", key=created["key"], uploadId=upload_id)
    assert urllib3.request("DELETE", aborted["url"]).status == 204
    file = find_by_key(owner, created["key"])
    assert [item["act"] for item in owner.items(f"/api/files/{file['id']}/trail")] == ["abort", "upload"]

    deleted = sign(owner, method="DELETE", key=created["key"])
    assert urllib3.request("DELETE", deleted["url"]).status == 204


@pytest.mark.parametrize(
    "body",
    [
        {"method": "GET"},
        {"method": "DELETE"},
        {"method": "PUT", "uploadId": "x", "partNumber": 1},
        {"method": "GET", "uploadId": "x"},
        {"method": "POST", "uploadId": "x"},
        {"method": "DELETE", "uploadId": "x"},
        {"method": "PUT", "uploadId": "x"},
        {"method": "GET", "uploadId": "x", "partNumber": 1},
        {"method": "PATCH"},
    ],
    ids=json.dumps,
)
def test_nothing_is_signed_for_a_key_of_somebody_else(owner: Api, files_api: Api, body: dict[str, Any]) -> None:
    key = sign(files_api, method="PUT", key="theirs")["key"]

    answer = owner("POST", "/api/uploads/sign", {"key": key, **body})
    assert answer.status in (400, 404), answer.body
    assert_problem(owner("POST", "/api/uploads/sign", {"method": "DELETE", "key": key}), 404, "not-found")


# --- parts of an announced size


def test_no_part_is_signed_of_a_file_that_comes_in_one_put(owner: Api) -> None:
    put = sign(owner, method="PUT", key="whole", file={"name": "whole", "size": 5})
    part = {"method": "PUT", "key": put["key"], "uploadId": "made up", "partNumber": 1}
    assert_problem(owner("POST", "/api/uploads/sign", part), 404, "not-found")


def test_a_part_of_an_announced_size_is_signed_with_its_length(owner: Api, clockwork: Clockwork) -> None:
    size = 11_000_000
    said = {"name": "large", "size": size, "type": "image/png"}
    begun = sign(owner, method="POST", key="k", file=said)
    upload_id = clockwork.store.multipart.create("versioned", begun["key"], "image/png")
    asked = {"method": "PUT", "key": begun["key"], "uploadId": upload_id, "file": said}

    for number, length in ((1, 5 * MIB), (2, 5 * MIB), (3, size - 10 * MIB)):
        url = sign(owner, **asked, partNumber=number)["url"]
        assert "content-length" in url
        assert urllib3.request("PUT", url, body=bytes(length)).status == 200

    assert_problem(owner("POST", "/api/uploads/sign", asked | {"partNumber": 4}), 400, "invalid-input")

    cut_anew = asked | {"partNumber": 2, "file": said | {"partSize": 8_000_000}}
    url = sign(owner, **cut_anew)["url"]
    assert urllib3.request("PUT", url, body=bytes(5 * MIB)).status == 200, "as it was cut at the beginning"


def test_a_client_may_choose_the_size_of_parts_at_the_beginning(owner: Api, clockwork: Clockwork) -> None:
    said = {"name": "large", "size": 11_000_000, "partSize": 8_000_000}
    begun = sign(owner, method="POST", key="k", file=said)
    upload_id = clockwork.store.multipart.create("versioned", begun["key"], None)
    asked = {"method": "PUT", "key": begun["key"], "uploadId": upload_id, "partNumber": 2, "file": said}

    url = sign(owner, **asked)["url"]
    assert urllib3.request("PUT", url, body=bytes(3_000_000)).status == 200


def test_completion_aborts_other_multipart_uploads_of_the_file(owner: Api, clockwork: Clockwork) -> None:
    said = {"name": "large", "size": 5}
    begun = sign(owner, method="POST", key="k", file=said)
    other, used = (clockwork.store.multipart.create("versioned", begun["key"], None) for _ in range(2))
    asked = {"method": "PUT", "key": begun["key"], "partNumber": 1, "file": said}

    links = [sign(owner, **asked, uploadId=one)["url"] for one in (other, used)]
    assert [urllib3.request("PUT", link, body=b"12345").status for link in links] == [200, 200]

    parts = clockwork.store.multipart.list_parts("versioned", begun["key"], used)
    clockwork.store.multipart.complete("versioned", begun["key"], used, parts)
    clockwork.deliver_current(begun["key"])
    clockwork.measure()

    assert clockwork.store.multipart.list_ids("versioned", begun["key"]) == []
    assert urllib3.request("PUT", links[0], body=b"12345").status == 404
