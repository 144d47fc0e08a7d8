"""The routes that Uppy asks, request by request, as @uppy/aws-s3 5.1 and 6.3 write them. The browser itself: tests/browser."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import urllib3

from tests.api.conftest import Api, assert_problem
from tests.api.test_direct_uploads import complete

MIB = 1024 * 1024


def create(api: Api, name: str = "Übersicht 1.mp4", **metadata: Any) -> Any:
    said = {"name": name, "type": "video/mp4", "relativePath": None, **metadata}
    answer = api("POST", "/s3/multipart", {"filename": name, "type": "video/mp4", "metadata": said})
    assert answer.status == 200, answer.body
    return answer.json


def at(upload: dict[str, str], action: str = "", **query: str) -> str:
    return f"/s3/multipart/{quote(upload['uploadId'], safe='')}{action}?{urlencode({'key': upload['key'], **query})}"


def the_file(api: Api, key: str) -> Any:
    (file,) = api("GET", f"/api/files?{urlencode({'key': key, 'state': 'any'})}").json["items"]
    return file


def put_part(url: str, data: bytes) -> str:
    answer = urllib3.request("PUT", url, body=data)
    assert answer.status == 200, answer.data
    return answer.headers["ETag"]


def test_a_form_stores_a_file_under_its_own_name(owner: Api) -> None:
    query = {
        "filename": "Übung 1.txt",
        "type": "text/plain",
        "metadata[name]": "Übung 1.txt",
        "metadata[relativePath]": "null",
        "metadata[camera]": "Leica",
        "metadata[session_id]": "trip",
    }
    form = owner("GET", f"/s3/params?{urlencode(query)}").json
    assert (form["method"], form["expires"]) == ("POST", 900)
    sent = urllib3.request("POST", form["url"], fields={**form["fields"], "file": ("x", b"hello")})
    assert sent.status == 201, sent.data
    file = the_file(owner, form["fields"]["key"])
    assert (file["name"], file["session_id"], file["metadata"]) == ("Übung 1.txt", "trip", {"camera": "Leica"})
    assert complete(owner, file)["size"] == 5


def test_parts_are_signed_listed_and_completed_and_a_lost_answer_does_no_harm(owner: Api) -> None:
    upload = create(owner, camera="Leica")
    assert set(upload) == {"key", "uploadId", "bucket"}
    data = [bytes(5 * MIB), b"the end"]
    first = owner("GET", at(upload, "/1")).json
    assert first["expires"] == 900
    batch = owner("GET", at(upload, "/batch", partNumbers="1,2")).json["presignedUrls"]
    assert set(batch) == {"1", "2"}
    etags = [put_part(first["url"], data[0]), put_part(batch["2"], data[1])]
    listed = owner("GET", at(upload)).json
    assert [(part["PartNumber"], part["Size"]) for part in listed] == [(1, 5 * MIB), (2, 7)]
    # Version 6 sends fresh ETags without quotes, and listed ones as they were listed.
    parts = [{"PartNumber": 1, "ETag": etags[0].strip('"')}, {"PartNumber": 2, "ETag": listed[1]["ETag"]}]
    done = owner("POST", at(upload, "/complete"), {"parts": parts})
    assert done.status == 200, done.body
    assert done.json["key"] == upload["key"]
    assert done.json["location"].endswith(upload["key"])
    file = owner("GET", f"/api/files/{done.json['id']}").json
    assert (file["state"], file["name"], file["size"]) == ("stored", "Übersicht 1.mp4", 5 * MIB + 7)
    assert (file["metadata"], file["media_type"]) == ({"camera": "Leica"}, "video/mp4")

    # The answer was lost: version 6 lists and completes again, version 5 deletes.
    assert [part["PartNumber"] for part in owner("GET", at(upload)).json] == [1, 2]
    assert owner("POST", at(upload, "/complete"), {"parts": parts}).json == done.json
    assert owner("DELETE", at(upload)).json == {}
    assert owner("GET", f"/api/files/{done.json['id']}").json["state"] == "stored"


def test_an_aborted_upload_is_gone_with_its_row(owner: Api, s3: Any) -> None:
    upload = create(owner)
    url = owner("GET", at(upload, "/1")).json["url"]
    answer = owner("DELETE", at(upload))
    assert (answer.status, answer.json) == (200, {})
    assert urllib3.request("PUT", url, body=b"late").status == 404
    assert owner("GET", "/api/files?state=any").json["items"] == []
    assert_problem_for_uppy(owner("DELETE", at(upload)), 404)


def assert_problem_for_uppy(answer: Any, status: int) -> None:
    assert answer.status == status, answer.body
    assert answer.json["message"] == answer.json["detail"]


@pytest.mark.parametrize(
    ("method", "action", "body"),
    [("GET", "", None), ("GET", "/1", None), ("DELETE", "", None), ("POST", "/complete", {"parts": []})],
)
def test_others_and_other_keys_get_nothing(owner: Api, files_api: Api, method: str, action: str, body: Any) -> None:
    upload = create(owner)
    eve = files_api.as_user(files_api("POST", "/api/users", {"name": "Eve"}).json)
    assert_problem_for_uppy(eve(method, at(upload, action), body), 404)
    mine = create(eve)
    assert_problem_for_uppy(eve(method, at({**mine, "key": upload["key"]}, action), body), 404)
    assert_problem_for_uppy(eve(method, at({**mine, "uploadId": upload["uploadId"]}, action), body), 404)


def test_wrong_requests_are_refused(owner: Api) -> None:
    upload = create(owner)
    assert owner("GET", "/s3/sts").status == 404
    assert owner("GET", "/s3/params").status == 400
    assert owner("GET", "/s3/params?filename=a&colour[b]=1").status == 400
    assert owner("GET", "/s3/params?filename=a&type=nonsense").status == 400
    assert owner("GET", "/s3/params?filename=a&metadata[session_id]=%20").status == 400
    assert owner("GET", at(upload, "/0")).status == 400
    assert owner("GET", at(upload, "/10001")).status == 400
    assert owner("GET", at(upload, "/batch", partNumbers="0")).status == 400
    assert owner("GET", at(upload, "/batch", partNumbers="1,x")).status == 400
    assert owner("GET", f"/s3/multipart/{upload['uploadId']}").status == 400
    assert owner("POST", "/s3/multipart", {}).status == 400
    assert_problem_for_uppy(owner("POST", at(upload, "/complete"), {"parts": []}), 409)
    named = [{"PartNumber": 1, "ETag": "x"}]
    assert_problem_for_uppy(owner("POST", at(upload, "/complete"), {"parts": named}), 409)


def limited(files_api: Api, **limits: Any) -> Api:
    return files_api.as_user(files_api("POST", "/api/users", {"name": "Limited", "limits": limits}).json)


def test_a_form_leaves_no_more_room_than_the_quota(files_api: Api) -> None:
    api = limited(files_api, max_bytes=10)
    form = api("GET", "/s3/params?filename=a&type=text/plain").json
    for size, status in ((11, 400), (10, 201)):
        sent = urllib3.request("POST", form["url"], fields={**form["fields"], "file": ("x", bytes(size))})
        assert sent.status == status
    complete(api, the_file(api, form["fields"]["key"]))
    again = api("GET", "/s3/params?filename=b").json
    assert urllib3.request("POST", again["url"], fields={**again["fields"], "file": ("x", b"1")}).status == 400


def test_a_multipart_upload_over_the_quota_is_not_completed(files_api: Api) -> None:
    api = limited(files_api, max_bytes=10)
    upload = create(api)
    etag = put_part(api("GET", at(upload, "/1")).json["url"], bytes(11))
    answer = api("POST", at(upload, "/complete"), {"parts": [{"PartNumber": 1, "ETag": etag}]})
    assert answer.status == 403
    assert "10 bytes" in answer.json["message"]
    assert the_file(api, upload["key"])["state"] == "pending"


def sign(api: Api, **body: Any) -> Any:
    answer = api("POST", "/api/uploads/sign", body)
    assert answer.status == 200, answer.body
    return answer.json


PROPOSED = "0b3d1c6e-8a55-4c5e-9d0b-1f2e3a4b5c6d-Übung 1.txt"


def test_a_signed_put_stores_a_file_under_the_servers_key(owner: Api) -> None:
    signed = sign(owner, method="PUT", key=PROPOSED, contentType="text/plain")
    assert signed["key"] != PROPOSED
    sent = urllib3.request("PUT", signed["url"], body=b"hello", headers={"Content-Type": "text/plain"})
    assert sent.status == 200, sent.data
    file = the_file(owner, signed["key"])
    assert (file["name"], complete(owner, file)["media_type"]) == ("Übung 1.txt", "text/plain")


def test_asking_again_with_the_same_proposed_key_goes_on_with_the_same_file(owner: Api) -> None:
    first, second = (sign(owner, method="PUT", key=PROPOSED, contentType="text/plain") for _ in range(2))
    assert first["key"] == second["key"]
    assert len(owner("GET", "/api/files").json["items"]) == 1


def test_what_is_said_of_a_file_is_signed(owner: Api) -> None:
    said = {"name": "a.txt", "size": 5, "type": "text/plain", "meta": {"name": "a.txt", "camera": "Leica"}}
    signed = sign(owner, method="PUT", key="x-a.txt", contentType="text/plain", file=said)
    assert urllib3.request("PUT", signed["url"], body=b"too long", headers=signed["headers"]).status == 403
    assert urllib3.request("PUT", signed["url"], body=b"hello", headers=signed["headers"]).status == 200
    assert the_file(owner, signed["key"])["metadata"] == {"camera": "Leica"}


def test_under_a_quota_a_put_of_unknown_length_becomes_a_form(files_api: Api) -> None:
    api = limited(files_api, max_bytes=10)
    signed = sign(api, method="PUT", key="a", contentType="text/plain")
    for size, status in ((11, 400), (10, 201)):
        sent = urllib3.request("POST", signed["url"], fields={**signed["fields"], "file": ("x", bytes(size))})
        assert sent.status == status


def test_a_client_sends_parts_with_every_request_signed(owner: Api) -> None:
    created = sign(owner, method="POST", key=PROPOSED)
    answer = urllib3.request("POST", created["url"], headers={"Content-Type": "video/mp4"})
    upload_id = answer.data.decode().partition("<UploadId>")[2].partition("</UploadId>")[0]
    same = {"key": created["key"], "uploadId": upload_id}
    etag = put_part(sign(owner, method="PUT", partNumber=1, **same)["url"], b"hello")
    listed = urllib3.request("GET", sign(owner, method="GET", **same)["url"])
    assert etag.strip('"') in listed.data.decode()
    body = (
        f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    )
    done = urllib3.request(
        "POST", sign(owner, method="POST", **same)["url"], body=body, headers={"Content-Type": "application/xml"}
    )
    assert done.status == 200, done.data
    file = the_file(owner, created["key"])
    assert (file["name"], complete(owner, file)["size"]) == ("Übung 1.txt", 5)


def test_a_client_aborts_and_deletes_with_signed_requests(owner: Api) -> None:
    created = sign(owner, method="POST", key=PROPOSED)
    answer = urllib3.request("POST", created["url"])
    upload_id = answer.data.decode().partition("<UploadId>")[2].partition("</UploadId>")[0]
    aborted = sign(owner, method="DELETE", key=created["key"], uploadId=upload_id)
    assert urllib3.request("DELETE", aborted["url"]).status == 204
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
def test_nothing_is_signed_for_keys_that_are_not_the_callers(owner: Api, files_api: Api, body: dict[str, Any]) -> None:
    key = sign(files_api, method="PUT", key="theirs")["key"]
    answer = owner("POST", "/api/uploads/sign", {"key": key, **body})
    assert answer.status in (400, 404), answer.body
    assert_problem(owner("POST", "/api/uploads/sign", {"method": "DELETE", "key": key}), 404, "not-found")
