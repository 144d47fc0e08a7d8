"""Uploads straight to S3 with what the API signed: what S3 takes, what it refuses, and what the file says then."""

import hashlib
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.support.api import Api, assert_problem
from tests.support.notifications import s3_record
from tests.support.recording import deliver
from tests.support.uploads import MIB, begin, complete, send, sha256

PDF = "application/pdf"


# --- announcements


def test_an_announced_file_is_pending_under_a_key_of_its_own(files_api: Api) -> None:
    said = {"name": "Übersicht 1.pdf", "session_id": "announced", "metadata": {"a": 1}, "tags": ["x"]}

    answer = files_api("POST", "/api/files", said)
    assert answer.status == 201, answer.body

    file = answer.json
    assert (file["state"], file["size"], file["version_id"]) == ("pending", None, None)
    assert {name: file[name] for name in said} == said
    assert file["key"].endswith(f"/{file['id']}/Ubersicht-1.pdf")
    assert answer.headers["Location"].endswith(f"/api/files/{file['id']}")

    found = files_api.follow(answer.headers["Location"]).json
    assert file == found | {"plan": file["plan"], "duplicate": None}

    found.pop("upload")
    assert files_api("GET", "/api/sessions/announced/files").json["items"] == [found]


def test_an_announcement_needs_a_name_and_no_unknown_field(files_api: Api) -> None:
    assert_problem(files_api("POST", "/api/files", {}), 400, "invalid-input", ("body", "name"))

    answer = files_api("POST", "/api/files", {"name": "x", "colour": 1})
    assert_problem(answer, 400, "invalid-input", ("body", "colour"))


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
def test_a_wrong_announcement_is_refused_and_leaves_nothing(owner: Api, fields: dict[str, Any], wrong: str) -> None:
    answer = owner("POST", "/api/files", {"name": "x", **fields})
    assert_problem(answer, 400, "invalid-input", ("body", wrong))
    assert owner("GET", "/api/files").json["items"] == []


@pytest.mark.parametrize("numbers", [[1e308] * 9000, [1e-300] * 300, {"n": 1e200, "t": "x" * 65_400}])
def test_metadata_is_measured_as_postgres_prints_it(api: Api, numbers: Any) -> None:
    answer = api("POST", "/api/files", {"name": "a", "metadata": {"n": numbers}})

    problem = assert_problem(answer, 400, "invalid-input", ("body", "metadata"))
    assert "written out" in problem["errors"][0]["message"]


# --- one request


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
def test_s3_refuses_unannounced_bytes_and_the_file_says_why(owner: Api, data: bytes, headers: dict[str, str]) -> None:
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
def test_s3_refuses_a_form_of_another_length_than_announced(owner: Api, data: bytes) -> None:
    file = begin(owner, size=5, media_type="text/plain", method="post")
    assert send(file["plan"], data).status in (400, 403)


def test_an_upload_link_does_not_overwrite_an_object(owner: Api) -> None:
    file = begin(owner, size=5)
    assert send(file["plan"], b"first").status == 200
    assert send(file["plan"], b"other").status == 412
    assert complete(owner, file)["etag"] == hashlib.md5(b"first", usedforsecurity=False).hexdigest()


def test_event_and_completion_agree_in_either_order(owner: Api, s3: Any, engine: Engine) -> None:
    for event_first in (True, False):
        file = begin(owner, size=5)
        send(file["plan"], b"bytes")
        head = s3.head_object(Bucket=file["bucket"], Key=file["key"])
        fields = {"version_id": head["VersionId"], "size": 5, "etag": head["ETag"].strip('"')}
        record = s3_record("ObjectCreated:Put", file["key"], bucket=file["bucket"], **fields)

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


def test_upload_links_are_renewed_until_the_file_is_stored(owner: Api) -> None:
    file = begin(owner, size=5)

    renewed = owner("POST", f"/api/files/{file['id']}/upload")
    assert renewed.status == 200
    assert renewed.json["plan"]["expires_at"] >= file["plan"]["expires_at"]
    assert send(renewed.json["plan"], b"bytes").status == 200

    complete(owner, file)
    assert_problem(owner("POST", f"/api/files/{file['id']}/upload"), 409, "conflict")
    assert_problem(owner("POST", f"/api/files/{file['id']}/parts", {"part_numbers": [1]}), 409, "conflict")


def test_a_stranger_gets_no_upload_links(owner: Api, stranger: Api) -> None:
    file = begin(owner, size=20 * MIB, method="multipart")

    place = f"/api/files/{file['id']}"
    assert_problem(stranger("POST", f"{place}/upload"), 404, "not-found")
    assert_problem(stranger("GET", f"{place}/parts"), 404, "not-found")
    assert_problem(stranger("POST", f"{place}/parts", {"part_numbers": [1]}), 404, "not-found")
    assert_problem(stranger("POST", f"{place}/complete", {}), 404, "not-found")
