"""Uploads through the API, over real HTTP, into a real S3 protocol."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.support.api import Api, assert_problem
from tests.support.files import BOUNDARY, form, part, read, send_form, upload
from tests.support.notifications import put_of
from tests.support.recording import deliver
from tests.support.users import new_member

LIMIT = 4_500_000


def test_an_uploaded_file_is_stored_and_can_be_read_at_once(owner: Api, s3: Any) -> None:
    answer = send_form(owner, form(part(b"hello", filename="hello.txt", media_type="text/plain")))
    assert answer.status == 201

    (file,) = answer.json
    assert list(file) == [
        "id", "bucket", "key", "version_id", "name", "size", "etag", "media_type", "detected_media_type",
        "is_mismatch", "sha256", "state", "owner_id", "session_id", "metadata", "tags", "stored_at", "created_at", "updated_at",
    ]  # fmt: skip
    assert (file["name"], file["size"], file["media_type"], file["state"]) == ("hello.txt", 5, "text/plain", "stored")
    assert file["created_at"].endswith("Z")
    assert file["stored_at"].endswith("Z")
    assert owner("GET", f"/api/files/{file['id']}").json == file | {"upload": None}
    assert owner("GET", "/api/files").json["items"] == [file]

    stored = s3.get_object(Bucket=file["bucket"], Key=file["key"], VersionId=file["version_id"])
    assert stored["Body"].read() == b"hello"
    assert stored["ContentType"] == "text/plain"
    assert stored["ETag"].strip('"') == file["etag"]


def test_many_files_are_answered_in_order_with_the_fields_of_the_form(owner: Api) -> None:
    names = [f"{number}.bin" for number in range(20)]
    parts = [part(name.encode(), f"field-{name}", filename=name) for name in names]
    texts = [part(b"trip", "session_id"), part(b'{"a": [1]}', "metadata"), part(b"x", "tags"), part(b"y", "tags")]

    answer = send_form(owner, form(*texts, *parts))
    assert [file["name"] for file in answer.json] == names
    for file in answer.json:
        assert (file["session_id"], file["metadata"], file["tags"]) == ("trip", {"a": [1]}, ["x", "y"])
    assert owner("GET", "/api/sessions/trip").status == 200
    assert len(owner("GET", "/api/sessions/trip/files").json["items"]) == 20
    assert upload(owner, session_id="trip")["session_id"] == "trip"


@pytest.mark.parametrize(
    "name",
    ["Übersicht 1.pdf", "🎉.png", 'a "quoted" name', "../../etc/passwd", "a;b=c", "100%.txt", "日本語", ".hidden"],
)
def test_names_are_kept_verbatim_and_cleaned_in_the_key(owner: Api, name: str) -> None:
    file = upload(owner, filename=name)
    assert file["name"] == name
    assert file["key"].startswith(f"{file['owner_id']}/{file['id']}/")
    assert file["key"].isascii()
    assert ".." not in file["key"]


def test_the_extended_form_of_a_name_is_understood(owner: Api) -> None:
    header = 'Content-Disposition: form-data; name="f"; filename="_.txt"; filename*=UTF-8\'\'%C3%A9%20.txt'

    answer = send_form(owner, form(f"--{BOUNDARY}\r\n{header}\r\n\r\n".encode() + b"x\r\n"))
    assert answer.json[0]["name"] == "é .txt"

    header = header.replace("%C3%A9", "%FF")
    answer = send_form(owner, form(f"--{BOUNDARY}\r\n{header}\r\n\r\n".encode() + b"x\r\n"))
    assert_problem(answer, 400, "invalid-input", ("body", "filename"))


@pytest.mark.parametrize(
    ("told", "name", "media_type"),
    [
        ("image/png", "x.txt", "image/png"),
        ("Text/Plain; charset=latin-1", "x", "text/plain"),
        (None, "x.pdf", "application/pdf"),
        ("nonsense", "x.html", "text/html"),
        (None, "x.unheard-of", "application/octet-stream"),
    ],
)
def test_the_media_type_is_the_declared_one_or_follows_from_the_name(
    owner: Api, told: str | None, name: str, media_type: str
) -> None:
    answer = send_form(owner, form(part(b"x", filename=name, media_type=told)))
    assert answer.json[0]["media_type"] == media_type


def test_an_empty_field_of_a_form_is_ignored(owner: Api) -> None:
    """A browser sends every field of a form, and so does the documentation page."""
    empty = [part(b"", name) for name in ("session_id", "metadata", "tags")]

    answer = send_form(owner, form(*empty, part(b"x", filename="x")))
    assert answer.status == 201, answer.body

    [file] = answer.json
    assert (file["session_id"], file["metadata"], file["tags"]) == (None, {}, [])


def test_an_empty_file_is_stored_and_an_empty_file_input_is_ignored(owner: Api) -> None:
    assert upload(owner, b"", "empty.txt")["size"] == 0

    answer = send_form(owner, form(part(b"", filename=""), part(b"x", filename="x")))
    assert [file["name"] for file in answer.json] == ["x"]


def test_the_same_upload_twice_makes_two_files(owner: Api) -> None:
    assert upload(owner)["id"] != upload(owner)["id"]


def test_bytes_that_resemble_a_boundary_are_kept(owner: Api, s3: Any) -> None:
    content = bytes(range(256)) * 40 + f"\r\n--{BOUNDARY[:-1]}\r\n--".encode()

    file = upload(owner, content)
    assert s3.get_object(Bucket=file["bucket"], Key=file["key"])["Body"].read() == content


def test_the_event_of_an_upload_changes_nothing(owner: Api, engine: Engine) -> None:
    file = upload(owner, metadata='{"a": 1}')
    for _ in range(2):
        deliver(engine, put_of(file))

    (found,) = owner("GET", "/api/files").json["items"]
    kept = ("id", "name", "owner_id", "metadata", "version_id", "size", "etag", "media_type", "state", "created_at")
    assert {field: found[field] for field in kept} == {field: file[field] for field in kept}
    (version,) = owner("GET", f"/api/files/{file['id']}/versions").json["items"]
    assert version["is_current"]
    (event,) = owner("GET", f"/api/files/{file['id']}/events").json["items"]
    assert event["event_name"] == "ObjectCreated:Put"


def test_an_upload_into_a_bucket_without_versions_is_stored(plain_files_api: Api) -> None:
    file = upload(plain_files_api)
    assert (file["version_id"], file["state"]) == ("", "stored")


def test_a_body_of_4_500_000_bytes_is_taken_and_a_longer_one_refused(owner: Api) -> None:
    overhead = len(form(part(b"", filename="big.bin")))

    file = upload(owner, b"x" * (LIMIT - overhead), "big.bin")
    assert file["size"] == LIMIT - overhead

    answer = send_form(owner, form(part(b"x" * (LIMIT - overhead + 1), filename="big.bin")))
    problem = assert_problem(answer, 413, "too-large")
    assert "POST /api/files" in problem["detail"]
    assert str(LIMIT) in problem["detail"]


def test_a_form_of_100_parts_is_taken_and_a_longer_one_refused(owner: Api) -> None:
    assert len(send_form(owner, form(*[part(b"", filename="x")] * 100)).json) == 100
    assert_problem(send_form(owner, form(*[part(b"", filename="x")] * 101)), 400, "malformed-body")


BROKEN = {
    "nothing": b"",
    "no part": f"--{BOUNDARY}--\r\n".encode(),
    "no file": form(part(b"x", "session_id")),
    "only an empty file input": form(part(b"", filename="")),
    "another boundary": form(part(b"x", filename="x")).replace(BOUNDARY.encode(), b"another"),
    "cut off": form(part(b"x", filename="x"))[:-12],
    "not a form": b'{"file": "x"}',
    "no disposition": f"--{BOUNDARY}\r\nX-Y: z\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(),
    "a header that is not UTF-8": form(part(b"x", filename="x")).replace(b'filename="x"', b'filename="\xff"'),
    "a long header": form(part(b"x", filename="x" * 9000)),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_body_that_is_no_form_with_files_is_refused(owner: Api, body: bytes) -> None:
    assert_problem(send_form(owner, body), 400, "malformed-body")


WRONG = {
    "unknown field": (part(b"x", "colour"), "colour"),
    "metadata that is no JSON": (part(b"{", "metadata"), "metadata"),
    "metadata that is no object": (part(b"[]", "metadata"), "metadata"),
    "metadata given twice": (part(b"{}", "metadata") * 2, "metadata"),
    "metadata with a NUL": (part(b'{"a": "\\u0000"}', "metadata"), "metadata.a"),
    "a session id of wrong characters": (part(b"a b", "session_id"), "session_id"),
    "a tag twice": (part(b"a", "tags") * 2, "tags"),
    "a field that is not UTF-8": (part(b"\xff", "session_id"), "session_id"),
    "a field of 64 KiB and more": (part(b"x" * 65_537, "session_id"), "session_id"),
    "a file without a name": (part(b"x", filename=""), "names.1"),
    "a name of 256 characters": (part(b"x", filename="x" * 256), "names.1"),
    "a name with a control character": (part(b"x", filename="a\tb"), "names.1"),
}


@pytest.mark.parametrize(("wrong", "field"), WRONG.values(), ids=WRONG)
def test_a_wrong_field_of_a_form_is_named_and_nothing_is_stored(owner: Api, wrong: bytes, field: str) -> None:
    answer = send_form(owner, form(part(b"x", filename="x"), wrong))
    assert_problem(answer, 400, "invalid-input", ("body", field))
    assert owner("GET", "/api/files?state=any").json["items"] == []


def test_a_body_of_another_type_is_no_upload(owner: Api) -> None:
    assert_problem(send_form(owner, b"{}", "application/json"), 415, "unsupported-media-type")
    assert_problem(send_form(owner, form(part(b"x", filename="x")), "multipart/form-data"), 400, "malformed-body")


def test_an_upload_without_s3_is_503_and_leaves_nothing(api_without_s3: Api) -> None:
    client = new_member(api_without_s3, "Mary")

    assert_problem(send_form(client, form(*[part(b"x", filename="x")] * 3)), 503, "unavailable")
    assert client("GET", "/api/files?state=any").json["items"] == []


def test_an_upload_into_a_missing_bucket_is_503(
    serve: Callable[..., Any], api_database_url: str, emulator: Any
) -> None:
    with serve(api_database_url, AWS_ENDPOINT_URL=emulator.url, LANDFALL_BUCKET="no-such-bucket") as api:
        assert_problem(send_form(api, form(part(b"x", filename="x"))), 503, "unavailable")


def test_curl_uploads_as_the_readme_says(owner: Api, tmp_path: Any) -> None:
    (tmp_path / "Übung.txt").write_text("hello")
    line = ["curl", "-sS", "-F", "file=@Übung.txt", "-F", 'metadata={"a": 1}', "-F", "session_id=s1"]
    user = ["-H", f"X-Landfall-User: {owner.user_id}"]
    url = f"http://127.0.0.1:{owner.port}/api/files/upload"
    output = subprocess.run([*line, *user, url], capture_output=True, check=True, cwd=tmp_path).stdout

    (file,) = json.loads(output)
    assert (file["name"], file["size"], file["metadata"], file["session_id"]) == ("Übung.txt", 5, {"a": 1}, "s1")
    assert read(owner, file) == b"hello"
