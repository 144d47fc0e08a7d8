"""Finding files by words, metadata, tags and folders, and counting them; over real HTTP."""

from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, text

from chalicelib.db.engine import transaction
from chalicelib.db.search import index_files
from tests.support.api import Api, assert_problem
from tests.support.clockwork import Clockwork
from tests.support.uploads import begin


def index(engine: Engine) -> None:
    with transaction(engine) as session:
        while index_files(session, 1000):
            pass


@pytest.fixture
def photos(owner: Api, engine: Engine) -> Api:
    """An owner of eight files."""
    for name, metadata, tags in (
        (
            "Holiday in Rome.jpg",
            {"camera": {"make": "Leica", "iso": 100}, "taken": "2026-05-01T12:00:00+02:00"},
            ["rome"],
        ),
        (
            "holiday_in_Paris-2026.jpg",
            {"camera": {"make": "Canon", "iso": 3200}, "taken": "2026-06-01T00:00:00Z"},
            ["paris"],
        ),
        ("Invoice 4711.pdf", {"number": "4711", "total": 99.5, "paid": True}, ["2026", "money"]),
        ("report.final.docx", {"author": "Grace Hopper", "pages": [1, 2, 30]}, ["money"]),
        ("Übersicht.txt", {"iso": "400"}, []),
        ("日本語ファイル.txt", {"author": "Zoë Müller"}, []),
        ("myVacationPlan.md", {}, ["rome", "paris"]),
        ("unrelated.bin", {"note": None}, []),
    ):
        begin(owner, name, metadata=metadata, tags=tags)
    index(engine)
    return owner


def names(api: Api, **query: Any) -> list[str]:
    answer = api("GET", f"/api/files?{urlencode({'sort': 'name', **query}, doseq=True)}")
    assert answer.status == 200, answer.body
    return [item["name"] for item in answer.json["items"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("rome", {"Holiday in Rome.jpg", "myVacationPlan.md"}),
        ("ROME holiday", {"Holiday in Rome.jpg"}),
        ("holidai", {"Holiday in Rome.jpg", "holiday_in_Paris-2026.jpg"}),
        ("hol", {"Holiday in Rome.jpg", "holiday_in_Paris-2026.jpg"}),
        ("imvoice", {"Invoice 4711.pdf"}),
        ("4711", {"Invoice 4711.pdf"}),
        ("hopper", {"report.final.docx"}),
        ("raport", {"report.final.docx"}),
        ("日本", {"日本語ファイル.txt"}),
        ("zoë", {"日本語ファイル.txt"}),
        ("leica", {"Holiday in Rome.jpg"}),
        ("vacation", {"myVacationPlan.md"}),
        ("übersicht", {"Übersicht.txt"}),
        ("report final", {"report.final.docx"}),
        ("money", {"Invoice 4711.pdf", "report.final.docx"}),
        ("xylophone", set()),
        ("'; DROP TABLE files; --", set()),
        ("rome & ! | :* <->", {"Holiday in Rome.jpg", "myVacationPlan.md"}),
    ],
)
def test_words_are_found_in_names_keys_tags_and_metadata_also_with_typos(
    photos: Api, query: str, expected: set[str]
) -> None:
    found = names(photos, q=query, sort="relevance")
    assert set(found) == expected
    assert set(names(photos, q=query)) == expected


def test_the_best_match_comes_first_and_pages_hold_every_match_once(owner: Api, engine: Engine) -> None:
    for _ in range(5):
        begin(owner, "budget.txt")
    begin(owner, "a budget of budgets for the budget.txt")
    begin(owner, "budgit.txt")
    index(engine)

    everything = names(owner, q="budget", sort="relevance")
    assert len(everything) == 7
    assert everything[-1] == "budgit.txt" or "budgit.txt" not in everything[:5]

    found = [item["id"] for item in owner.items("/api/files?q=budget&limit=2")]
    assert len(found) == len(set(found)) == 7
    assert found == [item["id"] for item in owner("GET", "/api/files?q=budget").json["items"]]


def test_a_change_is_found_at_once_and_by_nobody_else(owner: Api, stranger: Api, engine: Engine) -> None:
    word = f"w{uuid4().hex[:12]}"
    file = begin(owner, "plain.txt")

    assert names(owner, q=word) == []

    owner("PATCH", f"/api/files/{file['id']}", {"tags": [word]})
    assert names(owner, q=word) == ["plain.txt"]

    assert names(stranger, q=word) == []

    owner("PATCH", f"/api/files/{file['id']}", {"tags": []})
    assert names(owner, q=word) == []


def test_words_changed_while_they_are_indexed_are_indexed_again(owner: Api, clockwork: Clockwork) -> None:
    file, word = begin(owner, "before.txt"), f"w{uuid4().hex[:12]}"
    with clockwork.engine.connect() as changing:
        changing.execute(
            text("UPDATE files SET name = :name WHERE id = CAST(:id AS uuid)"), {"name": word, "id": file["id"]}
        )
        with clockwork.transaction() as session:
            index_files(session, 5000)
        changing.commit()
    with clockwork.transaction() as session:
        index_files(session, 5000)

    assert [item["id"] for item in owner("GET", f"/api/files?q={word}").json["items"]] == [file["id"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"metadata.camera.make": "Leica"}, {"Holiday in Rome.jpg"}),
        ({"metadata.camera.iso:gte": "1000"}, {"holiday_in_Paris-2026.jpg"}),
        ({"metadata[camera.make]": "Leica"}, {"Holiday in Rome.jpg"}),
        ({"metadata[camera][make]": "Leica"}, {"Holiday in Rome.jpg"}),
        ({"metadata[camera.iso:gte]": "1000", "metadata.camera.make": "Canon"}, {"holiday_in_Paris-2026.jpg"}),
        ({"metadata.camera.iso:lt": "1000"}, {"Holiday in Rome.jpg"}),
        ({"metadata.number": "4711"}, {"Invoice 4711.pdf"}),
        ({"metadata.total:gt": "99", "metadata.total:lte": "99.5"}, {"Invoice 4711.pdf"}),
        ({"metadata.paid": "true"}, {"Invoice 4711.pdf"}),
        ({"metadata.pages": "30"}, {"report.final.docx"}),
        ({"metadata.pages:gt": "29"}, {"report.final.docx"}),
        ({"metadata.taken:lt": "2026-05-01T10:00:01Z"}, {"Holiday in Rome.jpg"}),
        ({"metadata.taken": "2026-05-01T10:00:00Z"}, {"Holiday in Rome.jpg"}),
        ({"metadata.taken:gte": "2026-06-01"}, {"holiday_in_Paris-2026.jpg"}),
        ({"metadata.author:gt": "Grace", "metadata.author:lt": "H"}, {"report.final.docx"}),
        ({"metadata.iso": "400"}, {"Übersicht.txt"}),
        ({"metadata.note:exists": "true"}, {"unrelated.bin"}),
        ({"metadata.camera:exists": "true", "metadata.camera.make:ne": "Leica"}, {"holiday_in_Paris-2026.jpg"}),
        ({"metadata.camera.make": 'Lei"ca\\'}, set()),
        ({"metadata.a'b\"c": "x"}, set()),
        ({"metadata.taken:lt": "9" * 25}, set()),
        ({"tag": "rome"}, {"Holiday in Rome.jpg", "myVacationPlan.md"}),
        ({"tag": ["rome", "paris"]}, {"myVacationPlan.md"}),
        ({"tag": "2026", "metadata.paid": "true", "q": "invoice"}, {"Invoice 4711.pdf"}),
        ({"is_mismatch": "true"}, set()),
    ],
)
def test_metadata_and_tags_filter_the_list(photos: Api, query: dict[str, Any], expected: set[str]) -> None:
    assert set(names(photos, **query)) == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("metadata.=x", "metadata"),
        ("metadata.a..b=x", "metadata"),
        ("metadata.a:like=x", "metadata"),
        ("metadata.a:exists=maybe", "metadata"),
        ("metadata=x", "metadata"),
        ("metadata.a=%00", "metadata.metadata.a"),
        ("q=%20.%20", "q"),
        ("q=", "q"),
        ("q=_", "q"),
        ("q=_%20_", "q"),
        ("&".join(f"metadata.a{number}=1" for number in range(9)), "metadata"),
        ("sort=relevance", ""),
        ("tag=", "tag.0"),
        ("wait=5", ""),
        ("wait=21&key=x", "wait"),
        ("folder=", "folder"),
    ],
)
def test_a_wrong_filter_is_refused(owner: Api, query: str, field: str) -> None:
    assert_problem(owner("GET", f"/api/files?{query}"), 400, "invalid-input", ("query", field))


def test_conflicting_filters_of_metadata_are_refused(owner: Api) -> None:
    assert owner("GET", "/api/files?metadata=foo&metadata.x=1").status == 400


def test_facets_count_the_filtered_files(photos: Api) -> None:
    found = photos("GET", "/api/files/facets?by=tag,month,session,type,state").json
    assert [(facet["value"], facet["files"]) for facet in found["tag"]] == [
        ("money", 2), ("paris", 2), ("rome", 2), ("2026", 1),
    ]  # fmt: skip
    assert [facet["files"] for facet in found["month"]] == [8]
    assert found["session"] == [{"value": None, "files": 8, "bytes": 0}]
    assert found["state"] == [{"value": "pending", "files": 8, "bytes": 0}]

    some = photos("GET", "/api/files/facets?by=tag&tag=rome").json
    assert {facet["value"]: facet["files"] for facet in some["tag"]} == {"rome": 2, "paris": 1}
    for wrong in ("colour", "type,type", "type,tag,type", ""):
        assert_problem(photos("GET", f"/api/files/facets?by={wrong}"), 400, "invalid-input", ("query", "by"))
    assert photos("GET", "/api/files/facets?by=month").json.keys() == {"month", "exact", "counted"}


def test_answers_say_whether_they_are_exact_and_are_if_asked_to(api_database_url: str, serve: Any, photos: Api) -> None:
    bounds = {"LANDFALL_RANKED_FILES": "3", "LANDFALL_COUNTED_FILES": "3", "LANDFALL_INDEX_SECONDS": "20"}
    with serve(api_database_url, LANDFALL_BUCKET="versioned", **bounds) as bounded:
        bounded.headers.update(photos.headers)

        some = bounded("GET", "/api/files/facets?by=state").json
        assert some == {"exact": False, "counted": 4, "state": [{"value": "pending", "files": 4, "bytes": 0}]}
        every = bounded("GET", "/api/files/facets?by=state&exact=true").json
        assert every == {"exact": True, "counted": 8, "state": [{"value": "pending", "files": 8, "bytes": 0}]}

        word = photos.headers["X-Landfall-User"][:8]  # in every key
        found = bounded("GET", f"/api/files?q={word}").json
        assert not found["exact"]
        every = bounded("GET", f"/api/files?q={word}&exact=true").json
        assert (every["exact"], len(every["items"])) == (True, 8)
        assert {item["id"] for item in found["items"]} <= {item["id"] for item in every["items"]}
        assert bounded("GET", "/api/files?q=rome").json["exact"]
        assert bounded("GET", "/api/files").json["exact"]


def test_a_query_that_keeps_the_database_busy_is_refused_in_time(api_database_url: str, serve: Any) -> None:
    """Held up here by a lock: what takes long on a large catalogue."""
    holder = create_engine(api_database_url)

    with serve(api_database_url, LANDFALL_QUERY_SECONDS="0.3") as api, holder.begin() as connection:
        connection.execute(text("LOCK TABLE files"))

        lists = [f"/api/files?{query}" for query in ("min_size=1", "q=a", "tag=a&sort=size")]
        for path in (*lists, "/api/files/facets", "/api/folders"):
            problem = assert_problem(api("GET", path), 400, "too-broad")
            assert "Narrow it" in problem["detail"]
    holder.dispose()


def test_the_files_of_one_folder_are_listed_without_those_below(files_api: Api, engine: Engine) -> None:
    prefix = f"folder-{uuid4()}/"
    with engine.begin() as connection:
        for number, key in enumerate(("a", "b/c", "b/d", "b/e/f")):
            connection.execute(
                text(
                    "INSERT INTO files (id, bucket, key, name, state, created_at, updated_at) "
                    "VALUES (gen_random_uuid(), 'versioned', :key, :name, 'pending', now(), now())"
                ),
                {"key": prefix + key, "name": str(number)},
            )

    assert names(files_api, folder=prefix) == ["0"]
    assert names(files_api, folder=f"{prefix}b/") == ["1", "2"]
