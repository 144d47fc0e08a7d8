"""Links to the bytes of files: who gets them, for which version, and what a browser does with them."""

import urllib.error
import urllib.request
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from tests.support.api import Api, assert_problem
from tests.support.files import read, upload, versions
from tests.support.notifications import put_of, s3_record
from tests.support.recording import deliver
from tests.support.uploads import begin


def link_parameters(url: str) -> dict[str, str]:
    """What a presigned link asks S3 for; the signature covers it. The emulator does not set the headers it asks for."""
    return dict(parse_qsl(urlsplit(url).query))


def test_a_download_redirects_to_a_link_that_works_without_credentials(owner: Api) -> None:
    file = upload(owner, b"hello", "é 1.txt")

    answer = owner("GET", f"/api/files/{file['id']}/download")
    assert answer.status == 302
    assert answer.json["url"] == answer.headers["Location"]
    assert answer.headers["Cache-Control"] == "no-store"

    with urllib.request.urlopen(answer.headers["Location"]) as response:
        assert response.read() == b"hello"

    disposition = link_parameters(answer.headers["Location"])["response-content-disposition"]
    assert disposition == "attachment; filename=\"_ 1.txt\"; filename*=UTF-8''%C3%A9%201.txt"


def test_a_link_in_json_says_when_it_expires(owner: Api) -> None:
    file = upload(owner)

    answer = owner("GET", f"/api/files/{file['id']}/download?redirect=false")
    assert answer.status == 200
    assert list(answer.json) == ["url", "expires_at"]
    assert "X-Amz-Expires=900" in answer.json["url"]
    assert answer.json["expires_at"] > file["created_at"]

    tampered = answer.json["url"].replace("X-Amz-Expires=900", "X-Amz-Expires=901")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(tampered)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a.png", True), ("a.pdf", True), ("a.txt", True), ("a.html", False), ("a.svg", False), ("a.js", False),
     ("a.xml", False), ("a.xhtml", False), ("a.unheard-of", False)],
)  # fmt: skip
def test_only_types_that_no_browser_executes_are_shown_inline(owner: Api, name: str, shown: bool) -> None:
    file = upload(owner, b"x", name)
    answer = owner("GET", f"/api/files/{file['id']}/download?inline=true")

    parameters = link_parameters(answer.headers["Location"])
    assert parameters["response-content-disposition"].startswith("inline;" if shown else "attachment;")
    assert parameters["response-content-type"] == file["media_type"]


def test_an_earlier_version_is_downloaded_and_of_a_deleted_file_by_operators_alone(
    owner: Api, files_api: Api, engine: Engine, s3: Any
) -> None:
    file = upload(owner, b"first")
    path, place = f"/api/files/{file['id']}", {"Bucket": file["bucket"], "Key": file["key"]}
    second = s3.put_object(**place, Body=b"second!")
    deliver(engine, put_of(file, version_id=second["VersionId"], size=7, etag=second["ETag"].strip('"')))

    current = owner("GET", path).json
    assert (current["version_id"], current["size"], current["id"]) == (second["VersionId"], 7, file["id"])

    assert read(owner, file) == b"second!"
    assert read(owner, file, version_id=file["version_id"]) == b"first"
    assert_problem(owner("GET", f"{path}/download?version_id=unheard-of"), 404, "not-found")

    assert owner("DELETE", path).status == 204
    assert_problem(owner("GET", f"{path}/download"), 404, "not-found")

    earlier = f"{path}/download?redirect=false&version_id={file['version_id']}"
    assert "Restore it" in assert_problem(owner("GET", earlier), 409, "conflict")["detail"]
    assert urllib.request.urlopen(files_api("GET", earlier).json["url"]).read() == b"first"

    found = versions(owner, file)
    assert [(v["is_current"], v["is_delete_marker"], v["removed"], v["size"]) for v in found] == [
        (True, True, False, None),
        (False, False, False, 7),
        (False, False, False, 5),
    ]
    assert_problem(owner("GET", f"{path}/download?version_id={found[0]['version_id']}"), 404, "not-found")


def test_a_link_to_the_version_without_an_id_of_a_deleted_file_names_it(
    files_api: Api, owner: Api, engine: Engine, s3: Any
) -> None:
    """Without a name, the link would lead to the delete marker, or to what was put there since."""
    key = f"{owner.user_id}/{uuid4()}"
    at = {"bucket": "versioned", "sequencer": "0A", "size": 1, "etag": "e", "version_id": "null"}
    deliver(engine, s3_record("ObjectCreated:Put", key, **at))
    marker = at | {"sequencer": "0B", "version_id": "m"}
    deliver(engine, s3_record("ObjectRemoved:DeleteMarkerCreated", key, **marker))
    file = files_api("GET", f"/api/files?{urlencode({'key': key, 'state': 'deleted'})}").json["items"][0]
    url = files_api("GET", f"/api/files/{file['id']}/download?redirect=false&version_id=null").json["url"]
    assert link_parameters(url)["versionId"] == "null"


def test_a_pending_file_cannot_be_downloaded(owner: Api) -> None:
    file_id = begin(owner)["id"]
    assert owner("GET", f"/api/files/{file_id}").json["state"] == "pending"
    assert_problem(owner("GET", f"/api/files/{file_id}/download"), 409, "conflict")

    answer = owner("GET", f"/api/files/{file_id}/download?inline=maybe")
    assert_problem(answer, 400, "invalid-input", ("query", "inline"))
