"""Files over real HTTP: found, read, changed, and waited for."""

import threading
import time
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from chalicelib.runtime import now
from tests.support.api import UNKNOWN_ID, Api, assert_problem, moment
from tests.support.clockwork import Clockwork
from tests.support.files import act, key_of, read, unique, upload, versions
from tests.support.notifications import put_of, s3_record
from tests.support.recording import deliver
from tests.support.uploads import begin, send, store
from tests.support.users import new_member


def test_a_member_neither_finds_nor_lists_files_of_others(owner: Api, stranger: Api, files_api: Api) -> None:
    file = upload(owner)
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
    assert stranger("GET", f"/api/files?owner_id={owner.user_id}").json["items"] == []
    assert owner("GET", path).json == file | {"upload": None}
    assert files_api("GET", path).json == file | {"upload": None}


def test_an_unknown_file_is_not_found(owner: Api) -> None:
    assert_problem(owner("GET", f"/api/files/{UNKNOWN_ID}"), 404, "not-found")
    assert_problem(owner("GET", "/api/files/x"), 400, "invalid-input", ("path", "file_id"))


def test_only_operators_see_an_object_put_straight_into_the_bucket(owner: Api, files_api: Api, engine: Engine) -> None:
    key = unique("dropped/é 1.txt")
    deliver(engine, s3_record("ObjectCreated:Put", key, sequencer="0A", version_id="v1", size=3, etag="e"))

    (file,) = files_api("GET", f"/api/files?prefix={key[:8]}&bucket=landfall-test").json["items"]
    assert (file["key"], file["owner_id"], file["state"]) == (key, None, "stored")
    assert owner("GET", f"/api/files?bucket={file['bucket']}").json["items"] == []
    assert_problem(owner("GET", f"/api/files/{file['id']}"), 404, "not-found")


def test_versions_and_events_are_paged(owner: Api, engine: Engine) -> None:
    file = upload(owner)
    records = [put_of(file, f"0{n}", version_id=f"v{n}", size=n, etag=None) for n in range(1, 6)]
    deliver(engine, *reversed(records))

    for name, expected in (
        ("versions", ["v5", "v4", "v3", "v2", "v1", file["version_id"]]),
        ("events", ["v1", "v2", "v3", "v4", "v5"]),
    ):
        assert [item["version_id"] for item in owner.items(f"/api/files/{file['id']}/{name}?limit=2")] == expected
        wrong = owner("GET", f"/api/files/{file['id']}/{name}?cursor=x")
        assert_problem(wrong, 400, "invalid-cursor", ("query", "cursor"))

    cursor = owner("GET", f"/api/files/{file['id']}/events?limit=1").json["next_cursor"]
    answer = owner("GET", f"/api/files/{file['id']}/versions?cursor={cursor}")
    assert_problem(answer, 400, "invalid-cursor", ("query", "cursor"))


def test_a_move_between_two_pages_repeats_and_hides_nothing(owner: Api, s3: Any, engine: Engine) -> None:
    file = upload(owner)
    for number in range(4):
        put = s3.put_object(Bucket=file["bucket"], Key=file["key"], Body=bytes(number))
        told = {"version_id": put["VersionId"], "size": number, "etag": put["ETag"].strip('"'), "time": now()}
        deliver(engine, put_of(file, f"F{number}", **told))
    before = [version["version_id"] for version in versions(owner, file)]
    path = f"/api/files/{file['id']}/versions?limit=2"
    pages = [owner("GET", path).json]

    act(owner, file, "move", {"key": key_of(owner, "moved.txt")})
    while cursor := pages[-1]["next_cursor"]:
        pages.append(owner("GET", f"{path}&cursor={cursor}").json)

    assert [version["version_id"] for page in pages for version in page["items"]] == before


# --- changes


def test_a_patch_changes_only_the_given_fields(owner: Api) -> None:
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


def test_a_replacement_resets_omitted_fields(owner: Api) -> None:
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
def test_a_wrong_field_of_a_change_is_named(owner: Api, document: dict[str, Any], field: str) -> None:
    path = f"/api/files/{upload(owner)['id']}"
    assert_problem(owner("PATCH", path, document), 400, "invalid-input", ("body", field))
    assert_problem(owner("PUT", path, {"name": "x"} | document), 400, "invalid-input", ("body", field))


def test_a_replacement_needs_a_name(owner: Api) -> None:
    path = f"/api/files/{upload(owner)['id']}"
    assert_problem(owner("PUT", path, {}), 400, "invalid-input", ("body", "name"))
    assert_problem(owner("PUT", path, body=b"{", Content_Type="application/json"), 400, "malformed-body")


def test_a_file_does_not_get_a_session_that_its_owner_does_not_have(owner: Api, files_api: Api) -> None:
    path = f"/api/files/{upload(owner)['id']}"
    files_api("POST", "/api/sessions", {"session_id": "operators-own"})
    for client in (owner, files_api):
        answer = client("PATCH", path, {"session_id": "operators-own"})
        assert_problem(answer, 422, "unprocessable")


def test_an_unowned_file_becomes_its_callers_when_it_gets_a_session(files_api: Api, engine: Engine) -> None:
    key = unique("unowned")
    deliver(engine, s3_record("ObjectCreated:Put", key, sequencer="0A", version_id="v1", size=3, etag="e"))
    (file,) = files_api("GET", f"/api/files?key={key}").json["items"]
    session = files_api("POST", "/api/sessions", {"session_id": unique("s")}).json
    assert files_api("PATCH", f"/api/files/{file['id']}", {"name": "mine"}).json["owner_id"] is None

    changed = files_api("PATCH", f"/api/files/{file['id']}", {"session_id": session["session_id"]}).json
    assert changed["owner_id"] == session["owner_id"]


# --- preconditions


def test_a_change_of_an_outdated_file_is_refused(owner: Api) -> None:
    file = upload(owner)
    path = f"/api/files/{file['id']}"

    first = owner("GET", path).headers["ETag"]
    assert owner("GET", path, If_None_Match=first).status == 304

    changed = owner("PATCH", path, {"name": "mine"}, If_Match=first)
    assert changed.status == 200
    for method, document in (("PATCH", {"name": "theirs"}), ("PUT", {"name": "theirs"}), ("DELETE", None)):
        assert_problem(owner(method, path, document, If_Match=first), 412, "precondition-failed")

    found = owner("GET", path, If_None_Match=first)
    assert (found.status, found.json["name"]) == (200, "mine")
    assert found.headers["ETag"] == changed.headers["ETag"] != first
    assert owner("PATCH", path, {"name": "x"}, If_Match="*").status == 200

    latest = owner("GET", path).headers["ETag"]
    assert owner("DELETE", path, If_Match=f'W/"0", {latest}').status == 204


def test_new_bytes_without_versions_are_a_change_too(plain_files_api: Api, s3: Any, engine: Engine) -> None:
    owner = new_member(plain_files_api)
    file = upload(owner, b"read")
    path = f"/api/files/{file['id']}"
    known = owner("GET", path).headers["ETag"]
    s3.put_object(Bucket=file["bucket"], Key=file["key"], Body=b"unread")
    put = s3_record(
        "ObjectCreated:Put", file["key"], bucket=file["bucket"], sequencer="FF", etag="e2", size=6, time=None
    )
    assert deliver(engine, put) == ["updated"]

    for method, document in (("PATCH", {"name": "x"}), ("PUT", {"name": "x"}), ("DELETE", None)):
        assert_problem(owner(method, path, document, If_Match=known), 412, "precondition-failed")
    assert read(owner, file) == b"unread"


def test_only_one_of_eight_simultaneous_changes_succeeds(owner: Api) -> None:
    file = upload(owner)
    path = f"/api/files/{file['id']}"
    known = owner("GET", path).headers["ETag"]
    statuses: list[int] = []

    def change(name: str) -> None:
        statuses.append(owner("PATCH", path, {"name": name}, If_Match=known).status)

    threads = [threading.Thread(target=change, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [200] + [412] * 7


def test_a_finding_of_inspection_does_not_refuse_an_update(owner: Api, clockwork: Clockwork) -> None:
    file = store(owner, b"hello")
    known = owner("GET", f"/api/files/{file['id']}").headers["ETag"]
    clockwork.judge()

    learnt = owner("GET", f"/api/files/{file['id']}", If_None_Match=known)
    assert (learnt.status, learnt.json["detected_media_type"]) == (200, "text/plain")
    assert owner("PATCH", f"/api/files/{file['id']}", {"name": "x"}, If_Match=known).status == 200
    assert owner("PATCH", f"/api/files/{file['id']}", {"name": "y"}, If_Match=known).status == 412


# --- waiting


def test_a_waiting_request_is_answered_as_soon_as_the_file_is_stored(owner: Api) -> None:
    file = begin(owner, size=5)
    send(file["plan"], b"bytes")
    answers: list[Any] = []
    paths = (f"/api/files/{file['id']}?wait=20", f"/api/files?{urlencode({'key': file['key'], 'wait': 20})}")
    threads = [threading.Thread(target=lambda path=path: answers.append(owner("GET", path).json)) for path in paths]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(0.6)
    owner("POST", f"/api/files/{file['id']}/complete", {})
    for thread in threads:
        thread.join()

    assert time.monotonic() - began < 10

    states = [answer["state"] if "state" in answer else answer["items"][0]["state"] for answer in answers]
    assert states == ["stored", "stored"]


def test_a_wait_with_a_wrong_cursor_is_refused_at_once(owner: Api) -> None:
    began = time.monotonic()
    answer = owner("GET", f"/api/files?{urlencode({'key': 'no/such', 'wait': 20, 'cursor': 'wrong'})}")
    assert_problem(answer, 400, "invalid-cursor", ("query", "cursor"))
    assert time.monotonic() - began < 10


def test_a_wait_in_vain_answers_the_present_state(owner: Api) -> None:
    file = begin(owner, size=5)
    assert owner("GET", f"/api/files/{file['id']}?wait=1").json["state"] == "pending"
    assert owner("GET", f"/api/files?{urlencode({'key': 'no/such', 'wait': 1})}").json["items"] == []
    assert_problem(owner("GET", f"/api/files/{uuid4()}?wait=20"), 404, "not-found")
