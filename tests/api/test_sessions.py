"""Sessions over real HTTP."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from tests.support.api import Api, assert_problem, moment


def test_a_curl_line_opens_a_session_and_its_repetition_changes_nothing(api: Api) -> None:
    line = (
        "curl -X POST http://localhost:8000/api/session "
        '-H "Content-Type: application/json" -d \'{"session_id": "test_123"}\''
    ).replace("8000", str(api.port))
    first, second = (
        subprocess.run(
            f"{line} -s -w '\\n%{{http_code}}'", shell=True, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    )

    document, status = first.rsplit("\n", 1)
    assert status == "201"

    session = json.loads(document)
    assert session["session_id"] == "test_123"
    fields = ["id", "session_id", "name", "metadata", "limits", "owner_id", "created_at", "updated_at", "role"]
    assert list(session) == fields
    assert second == f"{document}\n200"


def test_a_session_is_opened_read_replaced_patched_and_deleted(member: Api) -> None:
    opened = member(
        "POST", "/api/sessions", {"session_id": "trip:1", "name": "Trip", "metadata": {"a": [1, {"b": None}]}}
    )
    assert opened.status == 201
    assert opened.headers["Location"] == f"http://127.0.0.1:{member.port}/api/sessions/trip:1"
    assert opened.headers["Cache-Control"] == "no-store"
    assert opened.json["metadata"] == {"a": [1, {"b": None}]}
    assert member("GET", "/api/sessions/trip:1").json == opened.json
    assert member("GET", "/api/sessions/trip%3A1").json == opened.json

    replaced = member("PUT", "/api/sessions/trip:1", {"name": "Journey"})
    assert replaced.status == 200
    assert replaced.json["name"] == "Journey"
    assert replaced.json["metadata"] == {}
    assert replaced.json["created_at"] == opened.json["created_at"]
    assert moment(replaced.json["updated_at"]) > moment(opened.json["updated_at"])

    patched = member("PATCH", "/api/sessions/trip:1", {"name": None})
    assert (patched.json["name"], patched.json["metadata"]) == (None, {})
    patched = member("PATCH", "/api/sessions/trip:1", {"metadata": {"k": "v"}})
    assert (patched.json["name"], patched.json["metadata"]) == (None, {"k": "v"})
    assert member("PATCH", "/api/sessions/trip:1", {}).json == patched.json

    deleted = member("DELETE", "/api/sessions/trip:1")
    assert (deleted.status, deleted.body) == (204, b"")
    assert_problem(member("DELETE", "/api/sessions/trip:1"), 404, "not-found")


def test_opening_again_answers_the_same_session_unchanged(member: Api) -> None:
    first = member("POST", "/api/sessions", {"session_id": "s", "name": "first"})

    again = member("POST", "/api/session", {"session_id": "s", "name": "second", "metadata": {"x": 1}})
    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json
    assert again.headers["Location"] == first.headers["Location"]


def test_simultaneous_requests_create_a_session_once(member: Api) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: member("POST", "/api/sessions", {"session_id": "race"}), range(48)))
    assert sorted(answer.status for answer in answers) == [200] * 47 + [201]
    assert len({answer.body for answer in answers}) == 1


def test_the_server_makes_up_a_missing_session_id(member: Api) -> None:
    one, other = (member("POST", "/api/sessions", {}).json["session_id"] for _ in range(2))
    assert one != other
    assert member("GET", f"/api/sessions/{one}").status == 200


def test_two_owners_may_choose_the_same_id_and_see_only_their_own(api: Api, member: Api) -> None:
    theirs = member("POST", "/api/sessions", {"session_id": "shared"})

    ours = api("POST", "/api/sessions", {"session_id": "shared"})
    assert (theirs.status, ours.status) == (201, 201)
    assert theirs.json["id"] != ours.json["id"]
    assert api("GET", "/api/sessions/shared").json == ours.json
    assert [item["id"] for item in member("GET", "/api/sessions").json["items"]] == [theirs.json["id"]]

    listed = {item["id"] for item in api("GET", "/api/sessions?limit=1000&sort=-created").json["items"]}
    assert {theirs.json["id"], ours.json["id"]} <= listed


def test_a_session_of_another_owner_is_not_found(api: Api, member: Api) -> None:
    api("POST", "/api/sessions", {"session_id": "secret"})
    for method, document in (("GET", None), ("PUT", {}), ("PATCH", {}), ("DELETE", None)):
        assert_problem(member(method, "/api/sessions/secret", document), 404, "not-found")
    assert api("GET", "/api/sessions/secret").status == 200


@pytest.mark.parametrize("sort", ["created", "-created"])
def test_the_list_is_paged_in_order_and_links_to_its_next_page(member: Api, sort: str) -> None:
    made = [member("POST", "/api/sessions", {"session_id": f"page-{number}"}).json["id"] for number in range(5)]

    pages = list(member.pages(f"/api/sessions?limit=2&sort={sort}"))
    assert len(pages) == 3
    assert all(f"cursor={quote(page.json['next_cursor'])}" in page.headers["Link"] for page in pages[:-1])

    seen = [item["id"] for page in pages for item in page.json["items"]]
    assert seen == sorted(made, reverse=sort == "-created")


def test_a_page_of_sessions_ends_before_it_is_too_large_to_be_answered(member: Api) -> None:
    for number in range(40):
        member("POST", "/api/sessions", {"session_id": f"s{number:02}", "metadata": {"text": "ü" * 30_000}})

    pages = list(member.pages("/api/sessions?limit=1000"))
    assert all(len(page.body) > 1_900_000 for page in pages[:-1])
    listed = [item["session_id"] for page in pages for item in page.json["items"]]
    assert listed == [f"s{number:02}" for number in range(40)]


def test_a_cursor_of_another_list_and_a_forged_one_are_refused(member: Api) -> None:
    for number in range(2):
        member("POST", "/api/sessions", {"session_id": f"c{number}"})
    cursor = member("GET", "/api/sessions?limit=1").json["next_cursor"]
    others = [f"/api/sessions?sort=-created&cursor={cursor}", f"/api/users?cursor={cursor}"]

    forged = ["x", "AAAA", "e30", "W10", quote("é"), "WzEsMiwzXQ", "bnVsbA", "W1tdLFtdLFtdXQ", "a" * 5]
    for path in [*others, *(f"/api/sessions?cursor={text}" for text in forged)]:
        assert_problem(member("GET", path), 400, "invalid-cursor", ("query", "cursor"))


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"session_id": ""}, "session_id"),
        ({"session_id": "a" * 129}, "session_id"),
        ({"session_id": "a b"}, "session_id"),
        ({"session_id": "a/b"}, "session_id"),
        ({"session_id": "."}, "session_id"),
        ({"session_id": ".."}, "session_id"),
        ({"session_id": "a\n"}, "session_id"),
        ({"session_id": 5}, "session_id"),
        ({"name": ""}, "name"),
        ({"name": "n" * 201}, "name"),
        ({"colour": "red"}, "colour"),
        ({"metadata": None}, "metadata"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"a": "x" * 65_536}}, "metadata"),
        ({"metadata": {"1": {"2": {"3": {"4": {"5": {"6": {"7": {"8": {}}}}}}}}}}, "metadata"),
        ({"metadata": {"text": "\0"}}, "metadata.text"),
        ({"metadata": {"n": [1, 2**63]}}, "metadata.n.1"),
        ({"metadata": {"half": "\ud800"}}, "metadata.half"),
        ({"metadata": {"\0": 1}}, "metadata"),
    ],
)
def test_a_wrong_field_is_named(member: Api, document: dict[str, object], field: str) -> None:
    assert_problem(member("POST", "/api/sessions", document), 400, "invalid-input", ("body", field))


def test_values_at_the_limits_are_allowed(member: Api) -> None:
    deepest = {"1": {"2": {"3": {"4": {"5": {"6": {"7": {"8": -(2**63)}}}}}}}}
    longest = {"a": "x" * (65_536 - len('{"a":""}'))}

    for number, metadata in enumerate((deepest, longest, {"é": "𝄞", "f": 1.5, "t": True})):
        identifier = f"{number}" * 128

        answer = member("POST", "/api/sessions", {"session_id": identifier, "name": "n" * 200, "metadata": metadata})
        assert answer.status == 201, answer.body
        assert member("GET", f"/api/sessions/{identifier}").json["metadata"] == metadata


def test_every_allowed_character_of_an_id_works_in_a_path(member: Api) -> None:
    identifier = "Az09._~:@-"
    assert member("POST", "/api/sessions", {"session_id": identifier}).status == 201
    assert member("GET", f"/api/sessions/{identifier}").json["session_id"] == identifier
    assert member("GET", f"/api/sessions/{quote(identifier, safe='')}").json["session_id"] == identifier


def test_a_path_that_holds_no_session_id_is_refused(member: Api) -> None:
    assert_problem(member("GET", "/api/sessions/a%20b"), 400, "invalid-input", ("path", "session_id"))
    assert_problem(member("GET", "/api/sessions/%00"), 400, "invalid-input", ("path", "session_id"))
    assert_problem(member("GET", "/api/sessions/%FF"), 400, "invalid-input")


def test_null_removes_a_name_but_not_metadata(member: Api) -> None:
    member("POST", "/api/sessions", {"session_id": "n", "name": "x"})
    assert_problem(member("PATCH", "/api/sessions/n", {"metadata": None}), 400, "invalid-input", ("body", "metadata"))
    assert member("GET", "/api/sessions/n").json["name"] == "x"


@pytest.mark.parametrize("session_id", ["...", ".a", "..a", "a.", "a..", "~", "@:-"])
def test_whatever_id_is_taken_can_be_named_in_a_path(member: Api, session_id: str) -> None:
    """Clients take `.` and `..` out of a path before they send it, and so does everything on the way."""
    made = member("POST", "/api/sessions", {"session_id": session_id})
    assert made.status == 201, made.body
    assert member("GET", f"/api/sessions/{session_id}").json == made.json
