"""The trash: whose files an empty one takes, and what it leaves."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.services.removal import trash
from chalicelib.settings import Settings
from tests.support.api import Api, assert_problem
from tests.support.clockwork import Clockwork
from tests.support.contexts import context_on
from tests.support.files import act, detail, ended, key_of, read, upload, versions

# One of the further buckets in which the API's role may work, with Object Lock.
LOCKING = "extra-one"


def test_emptying_the_trash_removes_every_version_permanently(owner: Api, s3: Any) -> None:
    kept, gone = upload(owner, b"kept"), upload(owner, b"gone")
    s3.put_object(Bucket=gone["bucket"], Key=gone["key"], Body=b"unknown to the catalogue yet")
    owner("DELETE", f"/api/files/{gone['id']}")

    job = owner("DELETE", "/api/trash").json
    assert (job["state"], job["done"]) == ("done", 1)
    assert owner("DELETE", "/api/trash").json["done"] == 0
    assert detail(owner, kept)["state"] == "stored"
    assert all(version["removed"] for version in versions(owner, gone))


def test_an_operator_empties_everyones_trash_only_on_request(owner: Api, files_api: Api) -> None:
    file = upload(owner, b"hello")
    owner("DELETE", f"/api/files/{file['id']}")

    assert files_api("DELETE", "/api/trash").json["state"] == "done"
    assert act(owner, file, "restore")["state"] == "stored"
    assert_problem(owner("DELETE", "/api/trash?everyones=true"), 403, "forbidden")

    owner("DELETE", f"/api/files/{file['id']}")
    assert ended(files_api, files_api("DELETE", "/api/trash?everyones=true").json)["state"] == "done"
    assert_problem(owner("POST", f"/api/files/{file['id']}/restore", {}), 409, "conflict")


def test_emptying_the_trash_keeps_the_history_of_stored_files_alone(owner: Api, files_api: Api, s3: Any) -> None:
    file = upload(owner, b"hello")
    moved = act(owner, file, "move", {"key": key_of(owner, "b.txt")})
    ended(files_api, files_api("DELETE", "/api/trash?everyones=true").json)

    assert read(owner, file, version_id=file["version_id"]) == b"hello"

    owner("DELETE", f"/api/files/{file['id']}")
    owner("DELETE", "/api/trash")

    for key in (file["key"], moved["key"]):
        assert "Versions" not in s3.list_object_versions(Bucket="versioned", Prefix=key)


def test_a_file_that_is_being_removed_permanently_cannot_be_restored(
    owner: Api, clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = upload(owner, b"hello")
    owner("DELETE", f"/api/files/{file['id']}")
    delete_many, answers = clockwork.store.deleter.delete_many, []

    def meanwhile(*arguments: Any) -> Any:
        answers.append(owner("POST", f"/api/files/{file['id']}/restore", {}).status)
        return delete_many(*arguments)

    monkeypatch.setattr(clockwork.store.deleter, "delete_many", meanwhile)
    trash.purge(clockwork.context(), UUID(file["id"]))

    assert answers == [409, 409]  # while the object is removed, and while its marker is


def test_a_file_that_s3_keeps_is_restored_although_the_clock_wants_to_remove_it(
    owner: Api, clockwork: Clockwork, s3: Any
) -> None:
    s3.create_bucket(Bucket=LOCKING, ObjectLockEnabledForBucket=True)
    key = f"{owner.user_id}/held.txt"
    s3.put_object(Bucket=LOCKING, Key=key, Body=b"hello")
    s3.put_object_legal_hold(Bucket=LOCKING, Key=key, LegalHold={"Status": "ON"})
    clockwork.deliver_current(key, LOCKING)
    (file,) = owner("GET", "/api/files").json["items"]
    assert owner("DELETE", f"/api/files/{file['id']}").status == 204
    later = context_on(
        clockwork.engine,
        clockwork.store,
        settings=Settings(trash_days=1),
        clock=lambda: runtime.now() + timedelta(days=2),
    )
    trash.purge_old(later, 1000)
    with clockwork.transaction() as session:
        put_off = session.scalar(text("SELECT retry_after FROM files WHERE id = :id"), {"id": file["id"]})
    assert put_off > later.now, "it was tried, and is to be tried again"

    back = owner("POST", f"/api/files/{file['id']}/restore", {})
    assert (back.status, back.json["state"]) == (200, "stored")
    assert read(owner, file) == b"hello"
