"""A caller that is confined to a part of what it owns: nothing else of it is there, on any route."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from chalicelib.services.accounts.principals import Callers, Principal
from tests.support.gateway import send
from tests.support.tenants import ADA, BUCKET, DELETED, EVE, JOB, PENDING, SECRET, SHARE, STORED

pytestmark = pytest.mark.usefixtures("tenants")
Ask = Callable[..., tuple[int, Any]]
INSIDE = f"{ADA}/in/"


@pytest.fixture
def asking_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[Principal], Ask]:
    """Makes a client of a principal; says status and document of each answer."""

    def client(principal: Principal) -> Ask:
        def ask(
            method: str, path: str, body: Any = None, query: dict[str, str] | None = None, **path_values: object
        ) -> Any:
            monkeypatch.setattr(Callers, "identify", lambda *_: principal)
            answer = send(
                method,
                path,
                headers={"Host": "h", "Content-Type": "application/json"},
                pathParameters={name: str(value) for name, value in path_values.items()} or None,
                multiValueQueryStringParameters={name: [value] for name, value in (query or {}).items()} or None,
                body=None if body is None else json.dumps(body),
            )
            return answer["statusCode"], json.loads(answer["body"]) if answer["body"] else None

        return ask

    return client


@pytest.fixture
def of_prefix(asking_as: Callable[[Principal], Ask]) -> Ask:
    return asking_as(Principal(ADA, "member", prefix=INSIDE))


@pytest.fixture
def of_session(asking_as: Callable[[Principal], Ask]) -> Ask:
    return asking_as(Principal(ADA, "member", session_id=SECRET))


@pytest.fixture(params=["prefix", "session", "operator"])
def confined(request: pytest.FixtureRequest, asking_as: Callable[[Principal], Ask]) -> Ask:
    """One that sees the stored file, and not the pending one."""
    principals = {
        "prefix": Principal(ADA, "member", prefix=INSIDE),
        "session": Principal(ADA, "member", session_id=SECRET),
        "operator": Principal(ADA, "operator", prefix=INSIDE),
    }
    return asking_as(principals[request.param])


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"sort": "name"},
        {"sort": "-size"},
        {"q": SECRET},
        {"q": SECRET, "exact": "true"},
        {"prefix": f"{ADA}/"},
        {"prefix": f"{INSIDE}z"},
        {"session_id": SECRET},
        {"tag": SECRET},
    ],
    ids=str,
)
def test_lists_and_searches_find_the_part_alone(confined: Ask, query: dict[str, str]) -> None:
    status, page = confined("GET", "/api/files", query=query)
    assert (status, [file["id"] for file in page["items"]]) == (200, [str(STORED)])


@pytest.mark.parametrize(
    "query", [{"prefix": f"{ADA}/out/"}, {"key": f"{ADA}/out/p"}, {"state": "pending"}, {"session_id": "x"}], ids=str
)
def test_nothing_outside_is_found_by_asking_for_it(confined: Ask, query: dict[str, str]) -> None:
    assert confined("GET", "/api/files", query=query)[1]["items"] == []


@pytest.mark.parametrize("query", [{}, {"q": SECRET}, {"exact": "true"}, {"prefix": f"{ADA}/"}], ids=str)
def test_facets_count_the_part_alone(confined: Ask, query: dict[str, str]) -> None:
    status, counts = confined("GET", "/api/files/facets", query={"by": "state,type", **query})
    assert (status, counts["counted"], [value["value"] for value in counts["state"]]) == (200, 1, ["stored"])


def test_folders_are_those_of_the_part(confined: Ask) -> None:
    _, root = confined("GET", "/api/folders", query={"bucket": BUCKET, "prefix": f"{ADA}/"})
    assert [folder["name"] for folder in root["items"]] == ["in"]
    _, outside = confined("GET", "/api/folders", query={"bucket": BUCKET, "prefix": f"{ADA}/out/"})
    assert (outside["files"], outside["items"]) == (0, [])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/files/{file_id}", None),
        ("PATCH", "/api/files/{file_id}", {"name": "x"}),
        ("DELETE", "/api/files/{file_id}", None),
        ("GET", "/api/files/{file_id}/versions", None),
        ("GET", "/api/files/{file_id}/events", None),
        ("GET", "/api/files/{file_id}/download", None),
        ("POST", "/api/files/{file_id}/upload", None),
        ("POST", "/api/files/{file_id}/parts", {"part_numbers": [1]}),
        ("POST", "/api/files/{file_id}/complete", {}),
        ("POST", "/api/files/{file_id}/copy", {}),
        ("POST", "/api/files/{file_id}/move", {"key": f"{INSIDE}taken"}),
        ("POST", "/api/files/{file_id}/inspect", None),
        ("GET", "/api/files/{file_id}/shares", None),
    ],
)
def test_a_file_outside_is_not_there(confined: Ask, method: str, path: str, body: Any) -> None:
    assert confined(method, path, body, file_id=PENDING)[0] == 404


def test_a_file_inside_is_there_with_its_history_and_shares(confined: Ask) -> None:
    for what, expected in {"": 200, "/versions": 200, "/events": 200, "/download": 302, "/shares": 200}.items():
        assert confined("GET", f"/api/files/{{file_id}}{what}", file_id=STORED)[0] == expected, what


def test_nothing_outside_is_signed_or_done_in_bulk(confined: Ask) -> None:
    assert confined("POST", "/api/uploads/sign", {"method": "DELETE", "key": f"{ADA}/out/p"})[0] == 404
    _, done = confined("POST", "/api/files/bulk-delete", {"file_ids": [str(PENDING)]})
    assert [one["problem"]["status"] for one in done["results"]] == [404]
    assert confined("POST", "/api/zips", {"file_ids": [str(STORED), str(PENDING)]})[0] == 404
    assert confined("GET", "/api/jobs/{job_id}", job_id=JOB)[0] == 404


def test_the_trash_is_emptied_of_the_part_alone_by_a_job_that_the_part_sees(of_session: Ask, of_prefix: Ask) -> None:
    status, job = of_session("DELETE", "/api/trash")
    assert (status, job["state"], job["done"]) == (202, "done", 0), "the deleted file is in no session"
    assert of_session("GET", "/api/jobs/{job_id}", job_id=job["id"])[0] == 200
    assert of_prefix("GET", "/api/jobs/{job_id}", job_id=job["id"])[0] == 404
    assert of_prefix("GET", "/api/jobs")[1]["items"] == []


def test_a_folder_outside_is_not_deleted(asking_as: Callable[[Principal], Ask], of_prefix: Ask) -> None:
    status, job = of_prefix("DELETE", "/api/folders", query={"bucket": BUCKET, "prefix": f"{ADA}/out/"})
    assert (status, job["done"]) == (202, 0)
    assert asking_as(Principal(ADA, "member"))("GET", "/api/files/{file_id}", file_id=PENDING)[0] == 200


def test_an_upload_goes_into_the_session_and_no_other(of_session: Ask) -> None:
    name = str(uuid4())
    status, made = of_session("POST", "/api/files", {"name": name, "size": 1})
    assert (status, made["file"]["session_id"] if "file" in made else made["session_id"]) == (201, SECRET)
    assert of_session("POST", "/api/files", {"name": name, "size": 1, "session_id": "another"})[0] == 403
    assert of_session("POST", "/api/sessions", {"session_id": "another"})[0] == 403
    _, changed = of_session("PATCH", "/api/files/{file_id}", {"session_id": None}, file_id=STORED)
    assert changed["session_id"] == SECRET


def test_an_upload_goes_below_the_prefix_and_a_move_stays_there(of_prefix: Ask) -> None:
    status, made = of_prefix("POST", "/api/files", {"name": "x", "size": 1})
    assert (status, INSIDE in str(made)) == (201, True)
    assert of_prefix("POST", "/api/files/{file_id}/move", {"key": f"{ADA}/out/q"}, file_id=STORED)[0] == 403


def test_an_operator_who_is_confined_is_no_operator(asking_as: Callable[[Principal], Ask]) -> None:
    ask = asking_as(Principal(ADA, "operator", prefix=INSIDE))
    assert ask("GET", "/api/audits")[0] == 403
    assert ask("GET", "/api/users/{user_id}", user_id=EVE)[0] == 404
    assert ask("DELETE", "/api/trash", query={"everyones": "true"})[0] == 403


def test_the_sums_of_all_are_not_told_to_a_part(of_prefix: Ask, of_session: Ask) -> None:
    assert of_prefix("GET", "/api/users/{user_id}/usage", user_id=ADA)[1]["files"] == 0
    assert of_session("GET", "/api/sessions/{session_id}/usage", session_id=SECRET)[1]["files"] >= 1
    assert of_prefix("GET", "/api/sessions/{session_id}", session_id=SECRET)[0] == 404


def test_only_shares_of_the_part_can_be_ended(of_prefix: Ask, asking_as: Callable[[Principal], Ask]) -> None:
    other = asking_as(Principal(ADA, "member", prefix=f"{ADA}/out/"))
    assert other("DELETE", "/api/shares/{share_id}", share_id=SHARE)[0] == 404
    assert of_prefix("DELETE", "/api/shares/{share_id}", share_id=SHARE)[0] == 204
    assert of_prefix("GET", "/api/files", query={"state": "deleted"})[1]["items"][0]["id"] == str(DELETED)
