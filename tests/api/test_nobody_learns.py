"""A stranger's request about what another has is answered as one about what never was, whatever else is in it."""

import json
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from tests.support.matrix import Answer, Line, World, read_table, without_names

TABLE = read_table()
REFUSED = [line for line in TABLE.values() if line.kind and set(line.expected["stranger"]) == {404}]
_JSON = {"Content_Type": "application/json"}
WRONG: dict[str, dict[str, Any]] = {
    "unknown query": {"query": {"surprise": "1"}},
    "unknown field": {"body": {"surprise": 1}},
    "no object": {"body": []},
    "no body": {"body": None},
}


def differ_in_nothing(world: World, line: Line, **headers: str) -> Answer:
    """Have a stranger ask about the owner's thing and about none: both answers are one."""
    names = [world.names(line, "stranger", state) for state in line.states]
    answers = {without_names(world.ask("stranger", line, one, **headers), one) for one in names}
    assert len(answers) == 1, answers
    return answers.pop()


@pytest.mark.parametrize("line", REFUSED, ids=lambda line: line.name)
def test_no_precondition_tells(world: World, line: Line) -> None:
    of_file = TABLE["GET /api/files/{file_id}"]
    known = '"0"'
    if "file_id" in (names := world.names(line, "stranger", "there")):
        known = (
            json.loads(json.dumps(world.ask("owner", of_file, names).headers))
            .partition("'ETag': '")[2]
            .partition("'")[0]
        )
        assert known.startswith('"')
    for header in ("If_Match", "If_None_Match"):
        for value in (known, "*", '"0"'):
            assert differ_in_nothing(world, line, **{header: value}).status == 404


@pytest.mark.parametrize("line", REFUSED, ids=lambda line: line.name)
def test_no_wrong_request_tells(world: World, line: Line) -> None:
    for wrong in WRONG.values():
        differ_in_nothing(world, replace(line, **wrong))
    differ_in_nothing(world, line, Content_Type="text/plain", Accept="text/html", Range="bytes=0-1")


@pytest.mark.parametrize("line", [one for one in REFUSED if one.name.startswith("GET")], ids=lambda line: line.name)
def test_no_head_tells(world: World, line: Line) -> None:
    answer = differ_in_nothing(world, replace(line, name=line.name.replace("GET", "HEAD", 1)))
    assert (answer.status, answer.body) == (404, "")


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "PUT", "POST"])
def test_no_method_tells(world: World, method: str) -> None:
    for line in REFUSED:
        path = line.route[1]
        if (method, path) not in {one.route for one in TABLE.values()}:
            assert differ_in_nothing(world, replace(line, name=f"{method} {path}")).status == 405


_KEY = {"name": "a", "scopes": ["read"]}
LISTS = [
    Line("GET /api/keys", "", {}),
    Line("GET /api/users", "", {}),
    Line("GET /api/jobs", "", {}),
    Line("GET /api/sessions", "", {}, query={"sort": "-created"}),
    Line("GET /api/files", "", {}, query={"state": "any"}),
    Line("GET /api/files", "", {}, query={"owner_id": "{owner}", "state": "any"}),
    Line("GET /api/files", "", {}, query={"q": "zebra"}),
    Line("GET /api/files", "", {}, query={"q": "zebra", "exact": "true"}),
    Line("GET /api/files", "", {}, query={"tag": "zebra"}),
    Line("GET /api/files", "", {}, query={"metadata.zebra": "1"}),
    Line("GET /api/files", "", {}, query={"prefix": "{owner}/"}),
    Line("GET /api/files/facets", "", {}),
    Line("GET /api/files/facets", "", {}, query={"q": "zebra", "exact": "true"}),
    Line("GET /api/files/facets", "", {}, query={"owner_id": "{owner}"}),
    Line("GET /api/folders", "", {}),
    Line("GET /api/folders", "", {}, query={"prefix": "{owner}/", "exact": "true"}),
    Line("GET /api/users/{user_id}/usage", "", {}, names={"user_id": "{stranger}"}),
]


def test_no_list_count_or_sum_changes_with_what_others_do(world: World) -> None:
    def seen() -> list[Answer]:
        ids = {"owner": world.ids["owner"]}
        lines = [replace(line, names=dict.fromkeys(line.names, world.ids["stranger"])) for line in LISTS]
        return [world.ask("stranger", line, ids) for line in lines]

    before = seen()
    assert {answer.status for answer in before} == {200}
    said = {"name": "zebra.txt", "tags": ["zebra"], "metadata": {"zebra": 1}, "session_id": f"zebra-{uuid4()}"}
    assert world.ask("owner", Line("POST /api/files", "", {}, body=said), {}).status == 201
    world.names(TABLE["GET /api/files/{file_id}"], "owner", "there")
    world.names(TABLE["GET /api/jobs/{job_id}"], "owner", "there")
    world.names(TABLE["DELETE /api/files/{file_id}"], "owner", "deleted")
    assert seen() == before


@pytest.mark.parametrize(
    ("name", "body", "taken", "free", "status"),
    [
        ("POST /api/users", {"name": "Eve", "email": "{it}"}, "owner@example.com", "nobody@example.com", 403),
        ("PATCH /api/users/{user_id}", {"email": "{it}"}, "owner@example.com", "nobody@example.com", 403),
        ("PUT /api/users/{user_id}", {"name": "Eve", "email": "{it}"}, "OWNER@example.com", "nobody@example.com", 403),
        ("PATCH /api/files/{file_id}", {"session_id": "{it}"}, "{session_id}", "a-session-of-nobodys", 422),
        ("PUT /api/files/{file_id}", {"name": "a", "session_id": "{it}"}, "{session_id}", "a-session-of-nobodys", 422),
        ("POST /api/files/{file_id}/move", {"key": "{it}"}, "{key}", "{free_key}", 403),
        ("POST /api/files/{file_id}/copy", {"session_id": "{it}"}, "{session_id}", "a-session-of-nobodys", 201),
        ("POST /api/keys", _KEY | {"session_id": "{it}"}, "{session_id}", "a-session-of-nobodys", 201),
        ("POST /api/keys", _KEY | {"prefix": "{it}"}, "{key}", "{free_key}", 201),
        ("POST /s3/multipart", {"filename": "{it}"}, "{key}", "{free_key}", 200),
        ("POST /api/uploads/sign", {"method": "PUT", "key": "{it}"}, "{key}", "{free_key}", 200),
        ("POST /api/uploads/sign", {"method": "POST", "key": "{it}"}, "{key}", "{free_key}", 200),
    ],
)
def test_no_value_of_anothers_tells(
    world: World, name: str, body: dict[str, Any], taken: str, free: str, status: int
) -> None:
    theirs = world.names(TABLE["GET /api/files/{file_id}"], "stranger", "there")
    theirs |= world.names(TABLE["GET /api/sessions/{session_id}"], "stranger", "there")
    theirs["free_key"] = world.names(TABLE["GET /api/files/{file_id}"], "stranger", "unknown")["key"]
    begun = world.ask("stranger", Line("POST /api/files/upload", "", {}, form=True), {})
    mine = {"file_id": json.loads(begun.body)[0]["id"], "user_id": world.ids["stranger"]}
    answers = set()
    for it in (taken, free):
        for known, value in theirs.items():
            it = it.replace(f"{{{known}}}", value)
        answer = world.ask("stranger", Line(name, "", {}, body=body), mine | {"it": it})
        assert answer.status == status, answer
        answers.add(without_names(answer, mine | {"it": it}))
    assert len(answers) == 1, answers
