"""The list of files over real HTTP: every filter, every order, every page."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import pytest
from pydantic import TypeAdapter
from sqlalchemy import Engine, insert, update

from chalicelib.api.schemas.file_queries import FilesOut
from chalicelib.db.models import File
from chalicelib.ids import uuid7
from tests.support.api import Api, assert_problem
from tests.support.uploads import begin
from tests.support.users import new_member

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SORTS = ["created", "-created", "updated", "-updated", "name", "-name", "size", "-size"]


def document(number: int, owner_id: UUID) -> dict[Any, Any]:
    """Files with many ties in every sortable column but the id, and some without size."""
    state = {3: "pending", 5: "deleted"}.get(number % 7, "stored")
    stored = state == "stored"
    made = START + timedelta(seconds=number // 2)
    return {
        File.id: uuid7(made),
        File.bucket: f"list-{number % 2}",
        File.key: f"{owner_id}/{'äbcd'[number % 4]}%_{number}",
        File.name: ["b.txt", "B.txt", "ä.txt", "a.txt"][number % 4],
        File.state: state,
        File.owner_id: owner_id,
        File.session_id: "s" if number % 5 == 0 else None,
        File.version_id: "" if stored else None,
        File.size: number // 10 if stored else None,
        File.media_type: ["image/png", "image/jpeg", "imagex/png", "text/plain"][number % 4] if stored else None,
        File.metadata_: {"number": number},
        File.created_at: made,
        File.updated_at: START + timedelta(seconds=number % 10),
    }


@pytest.fixture(scope="module")
def files(api: Api, engine: Engine) -> tuple[Api, list[dict[str, Any]]]:
    """A member, and its 100 files as the API writes them."""
    client = new_member(api, "Lister")
    client("POST", "/api/sessions", {"session_id": "s"})
    with engine.begin() as connection:
        connection.execute(insert(File).values([document(number, UUID(client.user_id)) for number in range(100)]))
    answer = client("GET", "/api/files?state=any&limit=1000")
    assert len(answer.json["items"]) == 100
    return client, answer.json["items"]


def listed(client: Api, path: str, limit: int, **query: Any) -> list[dict[str, Any]]:
    """All items, in pages each of which but the last is full."""
    pages = [page.json["items"] for page in client.pages(f"{path}?{urlencode(query | {'limit': limit})}")]
    assert all(len(items) == limit for items in pages[:-1])
    return [item for items in pages for item in items]


def test_a_page_ends_before_it_is_too_large_to_be_answered(member: Api, engine: Engine) -> None:
    """By size, a list takes two walks, of files with and without one: both together end in time."""
    metadata = {"text": "ü" * 30_000}
    made = [begin(member, f"{number:03}", metadata=metadata)["id"] for number in range(70)]
    with engine.begin() as connection:
        stored = update(File).where(File.id.in_([UUID(file_id) for file_id in made[::2]]))
        connection.execute(stored.values(state="stored", version_id="v", size=1))

    for query in ({"sort": "name"}, {"sort": "size"}, {"q": "0"}, {}):
        pages = list(member.pages(f"/api/files?{urlencode(query | {'limit': 1000})}"))
        assert max(len(page.body) for page in pages) < 2_100_000
        if "q" not in query:  # search is a moment behind
            assert sorted(item["id"] for page in pages for item in page.json["items"]) == made


def in_order(files: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    """A plain model of the order: byte by byte, ties by id, files without a value last in either direction."""
    column = {"created": "id", "updated": "updated_at"}.get(sort.lstrip("-"), sort.lstrip("-"))

    def place(file: dict[str, Any]) -> tuple[Any, str]:
        value = file[column]
        return (value.encode() if isinstance(value, str) else value, file["id"])

    reverse = sort.startswith("-")
    valued = sorted((f for f in files if f[column] is not None), key=place, reverse=reverse)
    missing = sorted((f for f in files if f[column] is None), key=lambda f: f["id"], reverse=reverse)
    return valued + missing


@pytest.mark.parametrize("limit", [1, 7, 100])
@pytest.mark.parametrize("sort", SORTS)
def test_pages_hold_every_file_once_in_every_order(files: Any, sort: str, limit: int) -> None:
    client, all_files = files

    expected = [f for f in in_order(all_files, sort) if f["state"] != "deleted"]
    assert listed(client, "/api/files", limit, sort=sort) == expected
    if limit == 7:
        assert listed(client, "/api/files", limit, sort=sort, state="any") == in_order(all_files, sort)


FILTERS: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = {
    "bucket": ({"bucket": "list-1"}, lambda f: f["bucket"] == "list-1"),
    "state pending": ({"state": "pending"}, lambda f: f["state"] == "pending"),
    "state stored": ({"state": "stored"}, lambda f: f["state"] == "stored"),
    "state deleted": ({"state": "deleted"}, lambda f: f["state"] == "deleted"),
    "session": ({"session_id": "s"}, lambda f: f["session_id"] == "s"),
    "media type": ({"media_type": "image/png"}, lambda f: f["media_type"] == "image/png"),
    "media family": ({"media_type": "image/*"}, lambda f: (f["media_type"] or "").startswith("image/")),
    "sizes": ({"min_size": 2, "max_size": 4}, lambda f: f["size"] in (2, 3, 4)),
    "no size": ({"max_size": 0}, lambda f: f["size"] == 0),
    "creation": (
        {"created_after": "2026-03-01T12:00:10Z", "created_before": "2026-03-01T13:00:20+01:00"},
        lambda f: "2026-03-01T12:00:10Z" <= f["created_at"] < "2026-03-01T12:00:20Z",
    ),
    "change": (
        {"updated_after": "2026-03-01T12:00:03Z", "updated_before": "2026-03-01T12:00:05Z"},
        lambda f: f["updated_at"] in ("2026-03-01T12:00:03Z", "2026-03-01T12:00:04Z"),
    ),
    "several": (
        {"bucket": "list-0", "media_type": "image/*", "min_size": 3},
        lambda f: f["bucket"] == "list-0" and (f["media_type"] or "").startswith("image/") and (f["size"] or 0) >= 3,
    ),
}


@pytest.mark.parametrize("sort", ["-created", "name", "-size"])
@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_lists_exactly_its_files(files: Any, name: str, sort: str) -> None:
    client, all_files = files
    query, matches = FILTERS[name]
    states = {"deleted"} if query.get("state") == "deleted" else {"pending", "stored"}

    expected = [f for f in in_order(all_files, sort) if f["state"] in states and matches(f)]
    assert listed(client, "/api/files", 3, sort=sort, **query) == expected
    assert expected


def test_a_prefix_is_compared_byte_by_byte(files: Any) -> None:
    client, all_files = files
    user = all_files[0]["owner_id"]
    for prefix in (f"{user}/ä", f"{user}/b%", f"{user}/b%_1", f"{user}/b%_"):
        expected = [f for f in all_files if f["key"].startswith(prefix)]
        assert expected
        assert client("GET", f"/api/files?state=any&limit=1000&prefix={quote(prefix)}").json["items"] == expected

    for nothing in (f"{user}/a", f"{user}/b__", f"{user}/B", f"{user}/b%_1\U0010ffff"):
        assert client("GET", f"/api/files?state=any&prefix={quote(nothing)}").json["items"] == []


def test_a_file_is_found_by_its_key(files: Any) -> None:
    client, all_files = files

    wanted = next(f for f in all_files if f["state"] == "stored")
    assert client("GET", f"/api/files?key={quote(wanted['key'])}").json["items"] == [wanted]
    assert client("GET", f"/api/files?key={quote(wanted['key'][:-1])}").json["items"] == []


def test_a_sessions_files_are_listed_with_the_same_filters(files: Any, api: Api) -> None:
    client, all_files = files
    expected = [f for f in in_order(all_files, "size") if f["session_id"] == "s" and f["bucket"] == "list-0"]

    expected = [f for f in expected if f["state"] != "deleted"]
    assert listed(client, "/api/sessions/s/files", 2, sort="size", bucket="list-0") == expected
    assert_problem(client("GET", "/api/sessions/unheard-of/files"), 404, "not-found")
    assert_problem(api("GET", "/api/sessions/s/files"), 404, "not-found")

    answer = client("GET", "/api/sessions/s/files?session_id=s")
    assert_problem(answer, 400, "invalid-input", ("query", "session_id"))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("sort=colour", "sort"),
        ("state=lost", "state"),
        ("owner_id=x", "owner_id"),
        ("min_size=-1", "min_size"),
        ("max_size=9223372036854775808", "max_size"),
        ("created_after=2026-03-01T12:00:00", "created_after"),
        ("updated_before=yesterday", "updated_before"),
        ("media_type=image", "media_type"),
        ("prefix=", "prefix"),
        ("key=a%00b", "key"),
        ("colour=red", "colour"),
        ("bucket=a&bucket=b", "bucket"),
    ],
)
def test_a_wrong_parameter_is_named(files: Any, query: str, field: str) -> None:
    client, _ = files
    assert_problem(client("GET", f"/api/files?{query}"), 400, "invalid-input", ("query", field))


def test_a_cursor_serves_only_its_own_list(files: Any) -> None:
    client, _ = files
    cursor = client("GET", "/api/files?sort=name&limit=1").json["next_cursor"]
    for query in ("sort=-name", "sort=size", "sort=name&bucket=list-1"):
        answer = client("GET", f"/api/files?{query}&cursor={cursor}")
        assert_problem(answer, 400, "invalid-cursor", ("query", "cursor"))

    assert client("GET", f"/api/files?sort=name&limit=500&cursor={cursor}").status == 200


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1969-12-31T23:59:59-12:00"])
def test_the_earliest_and_latest_times_are_accepted(files: Any, moment: str) -> None:
    client, _ = files
    for name in ("created_after", "created_before", "updated_after", "updated_before"):
        assert client("GET", f"/api/files?{urlencode({name: moment})}").status == 200


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("name", ["created_after", "created_before", "updated_after", "updated_before"])
def test_a_time_that_utc_cannot_express_is_refused_and_spoils_no_later_answer(
    files_api: Api, name: str, moment: str
) -> None:
    answer = files_api("GET", "/api/files?" + urlencode({name: moment}))
    assert_problem(answer, 400, "invalid-input", ("query", name))
    assert files_api("GET", "/api/files?limit=1").status == 200


def test_listed_files_equal_what_the_schema_would_write(files_api: Api) -> None:
    for name in ("one", "ü 🎉 \u2028 \"'"):
        begin(files_api, name, metadata={"é": [1.5, None]}, tags=["ä"])

    page = files_api("GET", "/api/files?limit=1000")
    assert page.json == json.loads(TypeAdapter(FilesOut).validate_json(page.body).model_dump_json())

    for file in page.json["items"]:
        found = files_api("GET", f"/api/files/{file['id']}").json
        found.pop("upload")
        assert found == file
