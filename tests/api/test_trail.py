"""The trail: who did what to which file, and who may know it."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from chalicelib.services.accounts.trail import forget_old_acts
from chalicelib.services.removal.trash import purge_old
from chalicelib.settings import Settings
from tests.support.api import UNKNOWN_ID, Answer, Api, assert_problem
from tests.support.clockwork import Clockwork
from tests.support.contexts import context_on
from tests.support.files import act, read, upload
from tests.support.notifications import put_of
from tests.support.recording import deliver
from tests.support.uploads import begin
from tests.support.users import new_member


def left_by(files_api: Api, answer: Answer) -> list[dict[str, Any]]:
    """What a request has left in the trail."""
    return [
        item
        for item in files_api.items("/api/trail?limit=1000")
        if item["request_id"] == answer.headers["X-Request-Id"]
    ]


def file_trail(api: Api, file: dict[str, Any]) -> list[str]:
    """What was done to a file, the latest first."""
    return [item["act"] for item in api.items(f"/api/files/{file['id']}/trail")]


def test_what_an_owner_does_to_a_file_is_in_its_trail(owner: Api, files_api: Api) -> None:
    file = upload(owner)
    path = f"/api/files/{file['id']}"
    changed = owner("PATCH", path, {"name": "b.txt", "metadata": {"a": 1}, "tags": []})
    act(owner, file, "copy", {}, 201)
    owner("DELETE", path)
    act(owner, file, "restore")
    act(owner, file, "move", {"key": f"{owner.user_id}/new/{uuid4()}.txt"})

    assert file_trail(owner, file)[:4] == ["move", "restore", "delete", "copy"]
    assert sorted(file_trail(owner, file)[4:]) == ["metadata", "rename", "upload"]
    for item in left_by(files_api, changed):
        assert (item["actor_id"], item["owner_id"], item["file_id"]) == (owner.user_id, owner.user_id, file["id"])
        assert (item["via"], item["key_id"], item["subject_id"]) == ("request", None, None)


def test_a_change_to_what_is_there_already_and_a_refused_one_leave_nothing(
    owner: Api, stranger: Api, files_api: Api
) -> None:
    file = upload(owner)
    path = f"/api/files/{file['id']}"
    for answer in (
        owner("PATCH", path, {"name": file["name"]}),
        owner("PATCH", path, {"name": "b"}, If_Match='"old"'),
        owner("DELETE", path, If_Match='"old"'),
        stranger("DELETE", path),
        stranger("POST", f"{path}/shares", {}),
    ):
        assert left_by(files_api, answer) == []


def test_what_s3_told_is_in_a_files_trail_and_costs_recording_nothing(
    owner: Api, files_api: Api, engine: Engine
) -> None:
    file = upload(owner)
    deliver(engine, put_of(file, "0A"))
    (event,) = [item for item in owner.items(f"/api/files/{file['id']}/trail") if item["via"] == "event"]
    assert (event["act"], event["actor_id"], event["request_id"]) == ("put", None, None)
    assert [item["act"] for item in files_api.items(f"/api/trail?file_id={file['id']}")] == ["upload"]


def test_what_s3_told_of_a_file_before_it_moved_stays_in_its_trail(owner: Api, engine: Engine) -> None:
    file = upload(owner)
    deliver(engine, put_of(file, "0A"))
    act(owner, file, "move", {"key": f"{owner.user_id}/new/{uuid4()}.txt"})
    assert sorted(file_trail(owner, file)) == ["move", "put", "upload"]


def test_a_trail_comes_page_by_page_without_a_gap(owner: Api, engine: Engine) -> None:
    file = upload(owner)
    deliver(engine, put_of(file, "0A"))
    for number in range(5):
        owner("PATCH", f"/api/files/{file['id']}", {"name": f"{number}"})
    for path in (f"/api/files/{file['id']}/trail", f"/api/trail?file_id={file['id']}"):
        whole = owner("GET", path).json["items"]
        assert owner.items(f"{path}{'&' if '?' in path else '?'}limit=2") == whole
        assert [item["at"] for item in whole] == sorted((item["at"] for item in whole), reverse=True)


@pytest.mark.parametrize("cursor", ["x", "WyJhIiwiYiIsImMiXQ", "WyJ0cmFpbCIsMSwyXQ"])
def test_a_made_up_cursor_is_refused(owner: Api, cursor: str) -> None:
    file = upload(owner)
    for path in (f"/api/files/{file['id']}/trail", "/api/trail"):
        assert_problem(owner("GET", f"{path}?cursor={cursor}"), 400, "invalid-cursor", ("query", "cursor"))


@pytest.mark.parametrize(
    "at",
    [
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2026-11-30T00:00:00",
        "infinity",
        "",
        None,
        1,
        True,
        [],
    ],
)
def test_a_cursor_of_no_moment_is_refused(owner: Api, at: Any) -> None:
    file = upload(owner)
    made_up = urlsafe_b64encode(json.dumps([f"trail {file['id']}", at, "x"]).encode()).decode().rstrip("=")
    answer = owner("GET", f"/api/files/{file['id']}/trail?cursor={made_up}")
    assert_problem(answer, 400, "invalid-cursor", ("query", "cursor"))


def test_nobody_but_owner_and_operator_sees_a_trail(owner: Api, stranger: Api, files_api: Api) -> None:
    file = upload(owner)
    known = assert_problem(stranger("GET", f"/api/files/{file['id']}/trail"), 404, "not-found")
    assert known["detail"] == f"There is no file {file['id']}."
    assert_problem(stranger("GET", f"/api/files/{UNKNOWN_ID}/trail"), 404, "not-found")
    for query in ("", f"?file_id={file['id']}", f"?actor_id={owner.user_id}"):
        found = stranger.items(f"/api/trail{query}")
        assert {item["owner_id"] for item in found} <= {stranger.user_id}
    assert file_trail(files_api, file) == ["upload"]


def test_an_owner_sees_what_an_operator_did_to_its_file(owner: Api, files_api: Api) -> None:
    file = upload(owner)
    answer = files_api("DELETE", f"/api/files/{file['id']}")
    (item,) = owner.items("/api/trail?act=delete")
    assert item["request_id"] == answer.headers["X-Request-Id"]
    assert item["actor_id"] not in (None, owner.user_id)


def test_the_list_is_filtered_by_actor_act_file_and_time(owner: Api, files_api: Api) -> None:
    file, other = upload(owner), upload(owner)
    files_api("PATCH", f"/api/files/{file['id']}", {"name": "x"})
    assert [item["act"] for item in owner.items(f"/api/trail?file_id={file['id']}")] == ["rename", "upload"]
    uploads = owner.items(f"/api/trail?actor_id={owner.user_id}&act=upload")
    assert [item["file_id"] for item in uploads] == [other["id"], file["id"]]
    later = uploads[0]["at"]
    assert [item["file_id"] for item in owner.items(f"/api/trail?act=upload&until={later}")] == [file["id"]]
    assert other["id"] in [item["file_id"] for item in owner.items(f"/api/trail?since={later}")]
    assert_problem(owner("GET", "/api/trail?act=theft"), 400, "invalid-input", ("query", "act"))
    assert_problem(owner("GET", "/api/trail?since=5"), 400, "invalid-input", ("query", "since"))


def test_shares_are_in_the_trail_with_their_ids_and_without_their_tokens(owner: Api, files_api: Api) -> None:
    file = upload(owner)
    share = act(owner, file, "shares", {}, 201)
    token = share["url"].rpartition("/")[2]
    used = owner.as_nobody()("GET", f"/api/shared/{token}")
    owner.as_nobody()("HEAD", f"/api/shared/{token}")
    owner("DELETE", f"/api/shares/{share['id']}")

    assert file_trail(owner, file) == ["revoke_share", "use_share", "share", "upload"]
    (item,) = left_by(files_api, used)
    assert (item["actor_id"], item["subject_id"], item["owner_id"]) == (None, share["id"], owner.user_id)
    assert token not in str(owner.items("/api/trail"))


def test_many_files_at_once_and_jobs_leave_a_line_for_each_file(owner: Api, files_api: Api) -> None:
    files = [upload(owner) for _ in range(3)]
    ids = [file["id"] for file in files]
    deleted = owner("POST", "/api/files/bulk-delete", {"file_ids": [*ids, UNKNOWN_ID]})
    assert sorted(item["file_id"] for item in left_by(files_api, deleted)) == sorted(ids)
    owner("POST", "/api/files/bulk-restore", {"file_ids": ids})
    zipped = owner("POST", "/api/zips", {"file_ids": ids, "name": "all.zip"})
    assert {item["subject_id"] for item in left_by(files_api, zipped)} == {zipped.json["id"]}
    owner("POST", "/api/files/bulk-delete", {"file_ids": ids})
    emptied = owner("DELETE", "/api/trash")
    for file in files:
        assert file_trail(owner, file)[:4] == ["purge", "delete", "zip", "restore"]
        (purged,) = owner.items(f"/api/trail?act=purge&file_id={file['id']}")
        assert (purged["via"], purged["request_id"], purged["actor_id"]) == ("job", emptied.json["id"], owner.user_id)


def test_uppys_uploads_are_in_the_trail_and_their_end_too(owner: Api, files_api: Api) -> None:
    begun = owner("POST", "/s3/multipart", {"filename": "a.bin", "type": "text/plain"}).json
    aborted = owner("DELETE", f"/s3/multipart/{begun['uploadId']}?key={begun['key']}")
    assert [item["act"] for item in left_by(files_api, aborted)] == ["abort"]
    for sign in (
        {"method": "PUT", "key": "k", "file": {"size": 5}},
        {"method": "POST", "key": "l", "file": {"size": 5}},
    ):
        signed = owner("POST", "/api/uploads/sign", sign)
        assert [item["act"] for item in left_by(files_api, signed)] == ["upload"]
    removed = owner("POST", "/api/uploads/sign", {"method": "DELETE", "key": signed.json["key"]})
    assert [item["act"] for item in left_by(files_api, removed)] == ["delete"]


def test_users_sessions_audits_and_dead_events_are_in_the_trail(files_api: Api) -> None:
    made = files_api("POST", "/api/users", {"name": "Secret Name", "email": f"{uuid4().hex}@example.org"})
    path = f"/api/users/{made.json['id']}"
    answers = [
        made,
        files_api("PATCH", path, {"role": "operator"}),
        files_api("PUT", path, {"name": "Another", "role": "operator"}),
        files_api("DELETE", path),
    ]
    lines = [left_by(files_api, answer) for answer in answers]
    assert [item["act"] for (item,) in lines] == ["make_user", "role", "change_user", "delete_user"]
    assert {item["subject_id"] for (item,) in lines} == {made.json["id"]}
    assert "Secret Name" not in str(lines)

    session = f"/api/sessions/{uuid4()}"
    answers = [
        files_api("POST", "/api/sessions", {"session_id": session.rpartition("/")[2]}),
        files_api("PATCH", session, {"name": "x"}),
        files_api("DELETE", session),
        files_api("POST", "/api/dead-events/discard", {"about": str(uuid4())}),
        files_api("POST", "/api/dead-events/redrive", {"about": str(uuid4())}),
        files_api("POST", "/api/audits", {"prefix": str(uuid4())}),
    ]
    acts = [item["act"] for answer in answers for item in left_by(files_api, answer)]
    assert acts == [
        "make_session", "change_session", "delete_session", "discard_events", "redrive_events", "audit",
    ]  # fmt: skip


def test_the_trail_outlives_its_user_and_its_file(files_api: Api, engine: Engine) -> None:
    ada = new_member(files_api, "Ada Lovelace")
    file = begin(ada, "a.bin", size=5)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM files WHERE id = CAST(:id AS uuid)"), {"id": file["id"]})
    assert files_api("DELETE", f"/api/users/{ada.user_id}").status == 204
    (item,) = files_api.items(f"/api/trail?file_id={file['id']}")
    assert (item["actor_id"], item["owner_id"]) == (ada.user_id, ada.user_id)
    assert "Ada" not in str(item)


def test_what_the_clock_does_has_no_actor(owner: Api, files_api: Api, clockwork: Clockwork) -> None:
    file = upload(owner)
    owner("DELETE", f"/api/files/{file['id']}")
    settings = Settings(trash_days=1)
    later = context_on(
        clockwork.engine, clockwork.store, settings=settings, clock=lambda: datetime.now(UTC) + timedelta(days=2)
    )
    purge_old(later, 1000)
    (purged,) = files_api.items(f"/api/trail?act=purge&file_id={file['id']}")
    assert (purged["actor_id"], purged["via"], purged["owner_id"]) == (None, "clock", owner.user_id)


def test_two_who_delete_at_once_are_both_in_the_trail(owner: Api, files_api: Api) -> None:
    file = upload(owner)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda api: api("DELETE", f"/api/files/{file['id']}"), (owner, files_api)))
    assert {answer.status for answer in answers} <= {204, 404}
    done = [item for answer in answers for item in left_by(files_api, answer)]
    assert len(done) == file_trail(owner, file).count("delete") >= 1


def test_old_acts_are_forgotten_and_others_stay(owner: Api, clockwork: Clockwork) -> None:
    file = upload(owner)
    with clockwork.transaction() as session:
        old = text("""
            INSERT INTO acts (id, at, via, act, file_id, owner_id)
            VALUES ('00000000-0001-7000-8000-000000000000', '2001-01-01', 'clock', 'delete', CAST(:file AS uuid), :owner)""")
        session.execute(old, {"file": file["id"], "owner": owner.user_id})
    never = context_on(clockwork.engine, settings=Settings(trail_days=0))
    assert forget_old_acts(never) == 0
    assert forget_old_acts(context_on(clockwork.engine, settings=Settings(trail_days=300))) >= 1
    assert file_trail(owner, file) == ["upload"]


def test_links_are_in_the_trail_where_the_deployment_wants_them(
    serve: Callable[..., Any], api_database_url: str, owner: Api
) -> None:
    file = upload(owner)
    read(owner, file)
    assert file_trail(owner, file) == ["upload"]
    with serve(api_database_url, LANDFALL_BUCKET="versioned", LANDFALL_TRAIL_LINKS="true") as api:
        mine = Api(api.port, api.log, owner.headers)
        assert mine("GET", f"/api/files/{file['id']}/download?redirect=false").status == 200
    assert file_trail(owner, file) == ["link", "upload"]
