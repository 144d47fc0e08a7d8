"""How many jobs of a member may be open at once."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dev.emulator import Emulator
from tests.support.api import Api, assert_problem
from tests.support.files import upload
from tests.support.users import new_member

Serve = Callable[..., Any]


@pytest.fixture(scope="module")
def one_api(
    serve: Serve, new_migrated_database: Callable[[], str], emulator: Emulator, files_api: Api
) -> Iterator[Api]:
    """A server where a member may have one open job, and where nobody does what is left to others."""
    settings = {"LANDFALL_BUCKET": "versioned", "LANDFALL_JOBS_PER_USER": "1", "LANDFALL_WAITS": "0"}
    with serve(new_migrated_database(), AWS_ENDPOINT_URL=emulator.url, **settings) as api:
        yield api


def _deleted(member: Api, **fields: Any) -> str:
    file = upload(member, **fields)
    assert member("DELETE", f"/api/files/{file['id']}").status == 204
    return str(file["id"])


def test_one_job_too_many_is_refused_and_has_changed_nothing(one_api: Api) -> None:
    bob, cyd = new_member(one_api, "Bob"), new_member(one_api, "Cyd")
    deleted, there = _deleted(bob), upload(bob)["id"]
    assert bob("DELETE", "/api/trash").status == 202

    asked = [
        ("DELETE", "/api/trash", None),
        ("DELETE", f"/api/folders?prefix={bob.user_id}/", None),
        ("POST", "/api/zips", {"file_ids": [there]}),
        ("POST", f"/api/files/{there}/copy", {}),
        ("POST", f"/api/files/{there}/move", {"key": f"{bob.user_id}/elsewhere"}),
        ("POST", f"/api/files/{deleted}/restore", {}),
        ("POST", "/api/files/bulk-restore", {"file_ids": [deleted]}),
    ]
    for method, path, body in asked:
        answer = bob(method, path, body)
        problem = assert_problem(answer, 429, "too-many-jobs")
        assert (answer.headers["Retry-After"], "(1)" in problem["detail"]) == ("60", True)
    assert bob("GET", f"/api/users/{bob.user_id}/usage").json["files"] == 1
    assert len(bob("GET", "/api/jobs").json["items"]) == 1
    assert cyd("DELETE", "/api/trash").status == 202


def test_of_restores_in_several_sessions_those_that_are_too_many_fail_by_themselves(one_api: Api) -> None:
    bob, cyd = new_member(one_api, "Bob"), new_member(one_api, "Cyd")
    cyd("POST", "/api/sessions", {"session_id": "shared"})
    cyd("POST", "/api/sessions/shared/members", {"user_id": bob.user_id, "role": "editor"})
    own, shared = _deleted(bob), _deleted(cyd, session_id="shared")

    answer = bob("POST", "/api/files/bulk-restore", {"file_ids": [own, shared]})
    assert answer.status == 202
    first, second = answer.json["results"]
    assert (first["status"], second["status"]) == ("in_work", "failed")
    assert second["problem"]["type"] == "/problems/too-many-jobs"
