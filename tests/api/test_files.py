"""Files over real HTTP: reading, changing, downloading and deleting them."""

import urllib.error
import urllib.request
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from sqlalchemy import Engine, create_engine, text

from tests.api.conftest import Api, assert_problem, moment
from tests.api.files import deliver, unique, upload
from tests.notifications import s3_record

UNKNOWN_ID = "01890000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def engine(api_database_url: str) -> Engine:
    return create_engine(api_database_url)


def add_pending(engine: Engine, user_id: str, bucket: str) -> str:
    """A file whose upload was announced and hasn't come."""
    insert = text("""
        INSERT INTO files (id, bucket, key, name, state, owner_id, created_at, updated_at)
        VALUES (CAST(:id AS uuid), :bucket, :key, 'later.txt', 'pending', CAST(:owner AS uuid), now(), now())""")
    file_id = unique("")[1:]
    with engine.begin() as connection:
        connection.execute(insert, {"id": file_id, "bucket": bucket, "key": unique("later"), "owner": user_id})
    return file_id


def user_id(api: Api) -> str:
    return api.headers["X-Landfall-User"]


def link_parameters(url: str) -> dict[str, str]:
    """What a presigned link asks S3 for; the signature covers it. The emulator does not set the headers it asks for."""
    return dict(parse_qsl(urlsplit(url).query))


# Whose files they are


def test_others_files_are_not_found_and_not_listed(owner: Api, member: Api, files_api: Api) -> None:
    file = upload(owner)
    stranger = files_api.as_user({"id": user_id(member)})
    path = f"/api/files/{file['id']}"
    for method, url, document in (
        ("GET", path, None),
        ("GET", f"{path}/versions", None),
        ("GET", f"{path}/events", None),
        ("GET", f"{path}/download", None),
        ("PUT", path, {"name": "x"}),
        ("PATCH", path, {"name": "x"}),
        ("DELETE", path, None),
    ):
        assert_problem(stranger(method, url, document), 404, "not-found")
    assert stranger("GET", "/api/files").json["items"] == []
    assert stranger("GET", f"/api/files?owner_id={user_id(owner)}").json["items"] == []
    assert owner("GET", path).json == file | {"upload": None}
    assert files_api("GET", path).json == file | {"upload": None}


def test_a_file_that_is_not_there_is_not_found(owner: Api) -> None:
    assert_problem(owner("GET", f"/api/files/{UNKNOWN_ID}"), 404, "not-found")
    assert_problem(owner("GET", "/api/files/x"), 400, "invalid-input", ("path", "file_id"))


def test_an_object_put_straight_into_the_bucket_is_the_operators_to_see(
    owner: Api, files_api: Api, engine: Engine
) -> None:
    key = unique("dropped/é 1.txt")
    deliver(engine, s3_record("ObjectCreated:Put", key, sequencer="0A", version_id="v1", size=3, etag="e"))
    (file,) = files_api("GET", f"/api/files?prefix={key[:8]}&bucket=landfall-test").json["items"]
    assert (file["key"], file["owner_id"], file["state"]) == (key, None, "stored")
    assert owner("GET", f"/api/files?bucket={file['bucket']}").json["items"] == []
    assert_problem(owner("GET", f"/api/files/{file['id']}"), 404, "not-found")


# Changing


def test_patching_changes_what_is_given_and_nothing_else(owner: Api) -> None:
    file = upload(owner, metadata='{"a": 1}', tags="t", session_id="s1")
    path = f"/api/files/{file['id']}"
    patched = owner("PATCH", path, {"name": "Übung 🎉.txt"})
    assert patched.status == 200
    assert patched.json == file | {"name": "Übung 🎉.txt", "updated_at": patched.json["updated_at"]}
    assert moment(patched.json["updated_at"]) > moment(file["updated_at"])
    assert owner("PATCH", path, {"metadata": {"b": [None, 1.5, "é"]}}).json["metadata"] == {"b": [None, 1.5, "é"]}
    assert owner("PATCH", path, {"tags": ["x", "y"]}).json["tags"] == ["x", "y"]
    odd = ["null", "NULL", 'a "b"', "c, d", "{e}", "\\"]
    assert owner("PATCH", path, {"tags": odd}).json["tags"] == odd
    assert owner("PATCH", path, {"session_id": None}).json["session_id"] is None
    changed = owner("PATCH", path, {"session_id": "s1"}).json
    assert changed["session_id"] == "s1"
    assert owner("PATCH", path, {}).json == changed
    assert owner("GET", path).json == changed | {"upload": None}


def test_replacing_resets_what_is_left_out(owner: Api) -> None:
    file = upload(owner, metadata='{"a": 1}', tags="t", session_id="s1")
    replaced = owner("PUT", f"/api/files/{file['id']}", {"name": "new"}).json
    expected = {"name": "new", "session_id": None, "metadata": {}, "tags": [], "updated_at": replaced["updated_at"]}
    assert replaced == file | expected


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": None}, "name"),
        ({"metadata": None}, "metadata"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"a": "x" * 65_536}}, "metadata"),
        ({"tags": ["a"] * 2}, "tags"),
        ({"tags": [str(n) for n in range(51)]}, "tags"),
        ({"tags": [""]}, "tags.0"),
        ({"tags": ["x" * 65]}, "tags.0"),
        ({"session_id": "a b"}, "session_id"),
        ({"size": 3}, "size"),
    ],
)
def test_wrong_changes_are_refused_by_field(owner: Api, document: dict[str, Any], field: str) -> None:
    path = f"/api/files/{upload(owner)['id']}"
    assert_problem(owner("PATCH", path, document), 400, "invalid-input", ("body", field))
    assert_problem(owner("PUT", path, {"name": "x"} | document), 400, "invalid-input", ("body", field))


def test_replacing_needs_a_name(owner: Api) -> None:
    path = f"/api/files/{upload(owner)['id']}"
    assert_problem(owner("PUT", path, {}), 400, "invalid-input", ("body", "name"))
    assert_problem(owner("PUT", path, body=b"{", Content_Type="application/json"), 400, "malformed-body")


def test_a_session_that_the_files_owner_does_not_have_is_refused(owner: Api, files_api: Api) -> None:
    path = f"/api/files/{upload(owner)['id']}"
    files_api("POST", "/api/sessions", {"session_id": "operators-own"})
    for client in (owner, files_api):
        answer = client("PATCH", path, {"session_id": "operators-own"})
        assert_problem(answer, 422, "unprocessable")


def test_an_unowned_file_becomes_the_callers_with_the_session_it_gets(files_api: Api, engine: Engine) -> None:
    key = unique("unowned")
    deliver(engine, s3_record("ObjectCreated:Put", key, sequencer="0A", version_id="v1", size=3, etag="e"))
    (file,) = files_api("GET", f"/api/files?key={key}").json["items"]
    session = files_api("POST", "/api/sessions", {"session_id": unique("s")}).json
    assert files_api("PATCH", f"/api/files/{file['id']}", {"name": "mine"}).json["owner_id"] is None
    changed = files_api("PATCH", f"/api/files/{file['id']}", {"session_id": session["session_id"]}).json
    assert changed["owner_id"] == session["owner_id"]


# Downloading


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


def test_a_link_can_be_had_as_json_and_says_when_it_ends(owner: Api) -> None:
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
def test_only_what_no_browser_executes_is_ever_shown(owner: Api, name: str, shown: bool) -> None:
    file = upload(owner, b"x", name)
    answer = owner("GET", f"/api/files/{file['id']}/download?inline=true")
    parameters = link_parameters(answer.headers["Location"])
    assert parameters["response-content-disposition"].startswith("inline;" if shown else "attachment;")
    assert parameters["response-content-type"] == file["media_type"]


def test_an_earlier_version_can_be_downloaded_and_of_a_deleted_file_by_operators(
    owner: Api, files_api: Api, engine: Engine, s3: Any
) -> None:
    file = upload(owner, b"first")
    path, place = f"/api/files/{file['id']}", {"Bucket": file["bucket"], "Key": file["key"]}
    second = s3.put_object(**place, Body=b"second!")
    record = s3_record(
        "ObjectCreated:Put", file["key"], bucket=file["bucket"], sequencer="0B",
        version_id=second["VersionId"], size=7, etag=second["ETag"].strip('"'),
    )  # fmt: skip
    deliver(engine, record)
    current = owner("GET", path).json
    assert (current["version_id"], current["size"], current["id"]) == (second["VersionId"], 7, file["id"])

    def read(query: str) -> bytes:
        link = owner("GET", f"{path}/download?redirect=false{query}").json["url"]
        return urllib.request.urlopen(link).read()

    assert read("") == b"second!"
    assert read(f"&version_id={file['version_id']}") == b"first"
    assert_problem(owner("GET", f"{path}/download?version_id=unheard-of"), 404, "not-found")
    assert owner("DELETE", path).status == 204
    assert_problem(owner("GET", f"{path}/download"), 404, "not-found")
    earlier = f"{path}/download?redirect=false&version_id={file['version_id']}"
    assert "Restore it" in assert_problem(owner("GET", earlier), 409, "conflict")["detail"]
    assert urllib.request.urlopen(files_api("GET", earlier).json["url"]).read() == b"first"
    versions = owner("GET", f"{path}/versions").json["items"]
    assert [(v["is_current"], v["is_delete_marker"], v["removed"], v["size"]) for v in versions] == [
        (True, True, False, None),
        (False, False, False, 7),
        (False, False, False, 5),
    ]
    assert_problem(owner("GET", f"{path}/download?version_id={versions[0]['version_id']}"), 404, "not-found")


def test_what_has_not_arrived_cannot_be_downloaded(owner: Api, engine: Engine) -> None:
    file_id = add_pending(engine, user_id(owner), "versioned")
    assert owner("GET", f"/api/files/{file_id}").json["state"] == "pending"
    assert_problem(owner("GET", f"/api/files/{file_id}/download"), 409, "conflict")
    answer = owner("GET", f"/api/files/{file_id}/download?inline=maybe")
    assert_problem(answer, 400, "invalid-input", ("query", "inline"))


# Deleting


def test_deleting_leaves_a_tombstone_and_deleting_again_finds_nothing(owner: Api, s3: Any) -> None:
    file = upload(owner)
    path = f"/api/files/{file['id']}"
    answer = owner("DELETE", path)
    assert (answer.status, answer.body) == (204, b"")
    problem = assert_problem(owner("GET", path), 404, "not-found")
    assert "/versions and /events" in problem["detail"]
    for method, document in (("DELETE", None), ("PATCH", {"name": "x"}), ("PUT", {"name": "x"})):
        assert_problem(owner(method, path, document), 404, "not-found")
    assert owner("GET", "/api/files").json["items"] == []
    (tombstone,) = owner("GET", "/api/files?state=deleted").json["items"]
    assert tombstone["id"] == file["id"]
    assert [tombstone[field] for field in ("state", "version_id", "size", "etag")] == ["deleted", None, None, None]
    assert "Contents" not in s3.list_objects_v2(Bucket=file["bucket"], Prefix=file["key"])


def test_a_deletion_stands_while_its_events_come_in(owner: Api, engine: Engine, s3: Any) -> None:
    file = upload(owner)
    path = f"/api/files/{file['id']}"
    owner("DELETE", path)
    (marker,) = s3.list_object_versions(Bucket=file["bucket"], Prefix=file["key"])["DeleteMarkers"]
    put = s3_record(
        "ObjectCreated:Put", file["key"], bucket=file["bucket"], sequencer="0A",
        version_id=file["version_id"], size=file["size"], etag=file["etag"],
    )  # fmt: skip
    deletion = s3_record(
        "ObjectRemoved:DeleteMarkerCreated", file["key"], bucket=file["bucket"], sequencer="0B",
        version_id=marker["VersionId"],
    )  # fmt: skip
    for record in (put, deletion, put):
        deliver(engine, record)
        assert_problem(owner("GET", path), 404, "not-found")
    events = owner("GET", f"{path}/events").json["items"]
    assert [event["change"] for event in events] == ["put", "marker"]
    assert [event["sequencer"] for event in events] == ["0A", "0B"]
    assert list(events[0]) == [
        "id", "change", "event_name", "version_id", "sequencer", "size", "etag", "event_time", "recorded_at",
    ]  # fmt: skip


def test_undoing_a_deletion_in_s3_brings_the_file_back_as_it_was(owner: Api, engine: Engine, s3: Any) -> None:
    file = upload(owner, metadata='{"a": 1}')
    path = f"/api/files/{file['id']}"
    owner("DELETE", path)
    (marker,) = s3.list_object_versions(Bucket=file["bucket"], Prefix=file["key"])["DeleteMarkers"]
    place = {"bucket": file["bucket"], "version_id": marker["VersionId"]}
    deliver(engine, s3_record("ObjectRemoved:DeleteMarkerCreated", file["key"], sequencer="0B", **place))
    deliver(engine, s3_record("ObjectRemoved:Delete", file["key"], sequencer="0C", **place))
    back = owner("GET", path).json
    assert back == file | {"updated_at": back["updated_at"], "upload": None}


def test_deleting_works_in_a_bucket_without_versions(plain_files_api: Api, s3: Any) -> None:
    file = upload(plain_files_api)
    path = f"/api/files/{file['id']}"
    assert plain_files_api("DELETE", path).status == 204
    assert_problem(plain_files_api("GET", path), 404, "not-found")
    assert "Contents" not in s3.list_objects_v2(Bucket=file["bucket"], Prefix=file["key"])
    (version,) = plain_files_api("GET", f"{path}/versions").json["items"]
    assert (version["version_id"], version["removed"], version["is_current"]) == ("", True, False)


@pytest.mark.parametrize("bucket", ["versioned", "plain"])
def test_a_file_whose_object_is_gone_already_becomes_deleted(
    files_api: Api, plain_files_api: Api, s3: Any, bucket: str
) -> None:
    client = {"versioned": files_api, "plain": plain_files_api}[bucket]
    file = upload(client)
    s3.delete_object(Bucket=bucket, Key=file["key"])
    assert client("DELETE", f"/api/files/{file['id']}").status == 204
    assert_problem(client("GET", f"/api/files/{file['id']}"), 404, "not-found")


def test_a_bucket_that_is_not_there_says_nothing_of_its_files(files_api: Api, engine: Engine) -> None:
    """It may have another name by now, or be another account's, or we look at the wrong endpoint."""
    key = unique("lost")
    record = s3_record("ObjectCreated:Put", key, bucket="no-such-bucket", sequencer="0A", version_id="v", size=1)
    deliver(engine, record)
    (file,) = files_api("GET", f"/api/files?key={key}").json["items"]
    problem = assert_problem(files_api("DELETE", f"/api/files/{file['id']}"), 503, "unavailable")
    assert "there is no such bucket" in problem["detail"]
    assert files_api("GET", f"/api/files?key={key}").json["items"][0]["state"] == "stored"


@pytest.mark.parametrize("bucket", ["versioned", "plain"])
def test_a_file_that_never_arrived_can_be_deleted(
    owner: Api, plain_files_api: Api, engine: Engine, bucket: str
) -> None:
    file_id = add_pending(engine, user_id(owner), bucket)
    assert owner("DELETE", f"/api/files/{file_id}").status == 204
    assert_problem(owner("DELETE", f"/api/files/{file_id}"), 404, "not-found")
    (file,) = owner("GET", "/api/files?state=deleted").json["items"]
    assert file["id"] == file_id


def test_without_s3_a_deletion_is_503_and_changes_nothing(owner: Api, serve: Any, api_database_url: str) -> None:
    file = upload(owner)
    with serve(api_database_url, AWS_ENDPOINT_URL="http://127.0.0.1:9") as api:
        answer = api.as_user({"id": user_id(owner)})("DELETE", f"/api/files/{file['id']}")
        assert_problem(answer, 503, "unavailable")
    assert owner("GET", f"/api/files/{file['id']}").json == file | {"upload": None}


# History


def test_versions_and_events_are_paged(owner: Api, engine: Engine) -> None:
    file = upload(owner)
    records = [
        s3_record(
            "ObjectCreated:Put", file["key"], bucket=file["bucket"], sequencer=f"0{n}", version_id=f"v{n}", size=n
        )
        for n in range(1, 6)
    ]
    deliver(engine, *reversed(records))
    for name, field, expected in (
        ("versions", "version_id", ["v5", "v4", "v3", "v2", "v1", file["version_id"]]),
        ("events", "version_id", ["v1", "v2", "v3", "v4", "v5"]),
    ):
        path, found = f"/api/files/{file['id']}/{name}?limit=2", []
        while True:
            answer = owner("GET", path)
            found += [item[field] for item in answer.json["items"]]
            if answer.json["next_cursor"] is None:
                assert "Link" not in answer.headers
                break
            link = answer.headers["Link"].partition(">")[0].lstrip("<")
            path = link.partition(f":{owner.port}")[2]
        assert found == expected
        wrong = owner("GET", f"/api/files/{file['id']}/{name}?cursor=x")
        assert_problem(wrong, 400, "invalid-cursor", ("query", "cursor"))
    cursor = owner("GET", f"/api/files/{file['id']}/events?limit=1").json["next_cursor"]
    assert_problem(owner("GET", f"/api/files/{file['id']}/versions?cursor={cursor}"), 400, "invalid-cursor",
                   ("query", "cursor"))  # fmt: skip


def test_an_announced_file_waits_under_its_key_until_an_object_is_put_there(files_api: Api) -> None:
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


def test_a_file_is_not_announced_without_a_name_or_with_unknown_fields(files_api: Api) -> None:
    assert_problem(files_api("POST", "/api/files", {}), 400, "invalid-input", ("body", "name"))
    answer = files_api("POST", "/api/files", {"name": "x", "colour": 1})
    assert_problem(answer, 400, "invalid-input", ("body", "colour"))
