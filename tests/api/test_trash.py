"""The trash: whose files an empty one takes, and what it leaves."""

from typing import Any
from uuid import UUID

import pytest

from chalicelib.services.removal import trash
from tests.support.api import Api, assert_problem
from tests.support.clockwork import Clockwork
from tests.support.files import act, detail, ended, key_of, read, upload, versions


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
