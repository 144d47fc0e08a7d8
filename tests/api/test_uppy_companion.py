"""The routes that Uppy asks of Companion, as @uppy/aws-s3 5.1 and 6.3 write them. The browser itself: tests/browser."""

from typing import Any
from urllib.parse import quote, urlencode

import pytest
import urllib3

from tests.support.api import Api
from tests.support.files import find_by_key
from tests.support.uploads import MIB, complete, put_part, send_fields
from tests.support.users import new_member


def create(api: Api, name: str = "Übersicht 1.mp4", **metadata: Any) -> Any:
    said = {"name": name, "type": "video/mp4", "relativePath": None, **metadata}
    answer = api("POST", "/s3/multipart", {"filename": name, "type": "video/mp4", "metadata": said})
    assert answer.status == 200, answer.body
    return answer.json


def at(upload: dict[str, str], action: str = "", **query: str) -> str:
    return f"/s3/multipart/{quote(upload['uploadId'], safe='')}{action}?{urlencode({'key': upload['key'], **query})}"


def assert_problem_for_uppy(answer: Any, status: int) -> None:
    assert answer.status == status, answer.body
    assert answer.json["message"] == answer.json["detail"]


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

    sent = send_fields(form, b"hello")
    assert sent.status == 201, sent.data

    file = find_by_key(owner, form["fields"]["key"])
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


def test_an_aborted_upload_leaves_no_file(owner: Api, s3: Any) -> None:
    upload = create(owner)
    url = owner("GET", at(upload, "/1")).json["url"]

    answer = owner("DELETE", at(upload))
    assert (answer.status, answer.json) == (200, {})
    assert urllib3.request("PUT", url, body=b"late").status == 404
    assert owner("GET", "/api/files?state=any").json["items"] == []
    assert_problem_for_uppy(owner("DELETE", at(upload)), 404)


def test_aborting_an_upload_that_s3_has_completed_keeps_the_file_and_its_owner(owner: Api, s3: Any) -> None:
    upload = create(owner)
    target = {"Bucket": "versioned", "Key": upload["key"], "UploadId": upload["uploadId"]}
    part = s3.upload_part(**target, PartNumber=1, Body=b"hello")
    s3.complete_multipart_upload(**target, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})

    assert owner("DELETE", at(upload)).json == {}
    file = find_by_key(owner, upload["key"])
    assert (file["state"], file["owner_id"]) == ("stored", owner.user_id)


@pytest.mark.parametrize(
    ("method", "action", "body"),
    [("GET", "", None), ("GET", "/1", None), ("DELETE", "", None), ("POST", "/complete", {"parts": []})],
)
def test_uploads_of_others_and_at_other_keys_are_not_found(
    owner: Api, stranger: Api, method: str, action: str, body: Any
) -> None:
    upload = create(owner)
    assert_problem_for_uppy(stranger(method, at(upload, action), body), 404)

    mine = create(stranger)
    assert_problem_for_uppy(stranger(method, at({**mine, "key": upload["key"]}, action), body), 404)
    assert_problem_for_uppy(stranger(method, at({**mine, "uploadId": upload["uploadId"]}, action), body), 404)


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


def test_a_part_number_of_thousands_of_digits_is_refused(owner: Api) -> None:
    assert owner("GET", f"/s3/multipart/u/batch?key=k&partNumbers={'9' * 5000}").status == 400


def test_a_form_takes_no_more_bytes_than_the_quota_leaves(files_api: Api) -> None:
    api = new_member(files_api, "Limited", limits={"max_bytes": 10})
    form = api("GET", "/s3/params?filename=a&type=text/plain").json

    for size, status in ((11, 400), (10, 201)):
        assert send_fields(form, bytes(size)).status == status

    complete(api, find_by_key(api, form["fields"]["key"]))
    again = api("GET", "/s3/params?filename=b").json
    assert send_fields(again, b"1").status == 400


def test_a_multipart_upload_over_the_quota_is_not_completed(files_api: Api) -> None:
    api = new_member(files_api, "Limited", limits={"max_bytes": 10})
    upload = create(api)
    etag = put_part(api("GET", at(upload, "/1")).json["url"], bytes(11))

    answer = api("POST", at(upload, "/complete"), {"parts": [{"PartNumber": 1, "ETag": etag}]})
    assert answer.status == 403
    assert "no room for so many bytes" in answer.json["message"]
    assert find_by_key(api, upload["key"])["state"] == "pending"
