"""Searches and counts that read so much and no more: exact where that is everything, and honest where it isn't."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from chalicelib.db import candidates, facets
from chalicelib.db.bounds import Bounds
from chalicelib.db.deadlines import attempt
from chalicelib.db.facets import count_files
from chalicelib.db.file_filters import FileFilters
from chalicelib.db.file_lists import search_files
from chalicelib.db.scope import EVERYONE, Owner
from chalicelib.db.search import index_files
from tests.support.bounded import OTHER, OWNER, file_id, fill

NONE_OF_IT = Bounds(ranked=10, counted=30, seconds=60)
ALL_OF_IT = Bounds(ranked=1000, counted=1000, seconds=60)


@pytest.fixture(scope="module")
def session(new_migrated_database: Callable[[], str]) -> Iterator[Session]:
    """A hundred files of the owner, then a hundred of somebody else; `early` is in the owner's first five."""
    engine = create_engine(new_migrated_database())
    with Session(engine) as session:
        fill(session, OWNER, [f"mine/early report {n}.txt" for n in range(5)], start=0)
        fill(session, OWNER, [f"mine/reports {n}.txt" for n in range(5, 95)], start=5)
        fill(session, OWNER, [f"mine/report {n}.txt" for n in range(95, 100)], start=95)
        fill(session, OTHER, [f"other/report {n}.txt" for n in range(100, 200)], start=100)
        while index_files(session, 1000):
            pass
        session.execute(text("ANALYZE"))
        yield session
    engine.dispose()


def counted(session: Session, bounds: Bounds | None, scope: Any = EVERYONE, **filters: Any) -> dict[str, Any]:
    found = count_files(session, scope, FileFilters(**filters), ["type", "tag"], bounds)
    answer: dict[str, Any] = json.loads(found)
    assert all(facet["bytes"] == 10 * facet["files"] for facet in answer["type"])
    return answer | {name: {facet["value"]: facet["files"] for facet in answer[name]} for name in ("type", "tag")}


def found(session: Session, bounds: Bounds | None, *terms: str, scope: Any = EVERYONE, **filters: Any) -> Any:
    """Keys of all pages, and whether they are all."""
    keys: list[str] = []
    exact, cursor = set(), None
    while True:
        page = search_files(session, scope, FileFilters(terms=terms, **filters), bounds, 7, cursor)
        keys += [item["key"] for item in json.loads(page.items)]
        exact.add(page.exact)
        cursor = page.next_cursor
        if cursor is None:
            assert len(keys) == len(set(keys))
            return keys, exact == {True}


def test_facets_within_the_bound_are_exact(session: Session) -> None:
    everything = counted(session, None)
    assert everything == counted(session, ALL_OF_IT)
    assert (everything["exact"], everything["counted"], everything["type"]) == (True, 200, {"text/plain": 200})

    few = counted(session, NONE_OF_IT, tags=("early",))
    assert (few["exact"], few["counted"], few["tag"]) == (True, 5, {"mine": 5, "early": 5})


def test_facets_beyond_the_bound_count_the_newest_and_say_so(session: Session) -> None:
    assert counted(session, NONE_OF_IT) == {
        "exact": False, "counted": 31, "type": {"text/plain": 31}, "tag": {"other": 31},
    }  # fmt: skip
    some = counted(session, NONE_OF_IT, prefix="mine/")
    assert (some["exact"], some["counted"]) == (False, 31)
    assert some["tag"]["mine"] <= counted(session, None, prefix="mine/")["tag"]["mine"]


@pytest.mark.parametrize("terms", [(), ("report",)])
def test_nobody_elses_files_are_counted(session: Session, terms: tuple[str, ...]) -> None:
    for bounds in (None, NONE_OF_IT, ALL_OF_IT):
        mine = counted(session, bounds, Owner(OWNER), terms=terms)
        assert mine["tag"].keys() <= {"mine", "early"}
        assert mine["counted"] == sum(mine["type"].values()) > 0
        nothing = counted(session, bounds, Owner(OWNER), owner_id=OTHER)
        assert nothing == {"exact": True, "counted": 0, "type": {}, "tag": {}}


def test_facets_of_a_search_count_what_it_ranks(session: Session) -> None:
    exact = counted(session, ALL_OF_IT, terms=("early",))
    assert (exact["exact"], exact["counted"]) == (True, 5)
    bounded = counted(session, NONE_OF_IT, terms=("report",))
    keys, is_exact = found(session, NONE_OF_IT, "report")
    assert (bounded["exact"], is_exact, bounded["counted"]) == (False, False, len(keys))


def test_a_search_within_the_bound_ranks_every_match(session: Session) -> None:
    for terms in (("report",), ("early",), ("raport",), ("early", "reqort"), ("nothing",)):
        keys, exact = found(session, ALL_OF_IT, *terms)
        assert (keys, exact) == found(session, None, *terms)
        assert exact
    assert len(found(session, None, "report")[0]) == 200
    assert len(found(session, None, "early", "reqort")[0]) == 5


def test_a_rare_word_is_found_among_many_files_however_old_they_are(session: Session) -> None:
    keys, exact = found(session, NONE_OF_IT, "early")
    assert (sorted(keys), exact) == ([f"mine/early report {n}.txt" for n in range(5)], True)
    assert found(session, NONE_OF_IT, "eurly") == found(session, None, "eurly")
    assert found(session, NONE_OF_IT, "xylophone") == ([], True)


def test_a_common_word_ranks_the_newest_files_first(session: Session) -> None:
    keys, exact = found(session, NONE_OF_IT, "report")
    assert not exact
    assert keys[:10] == [f"other/report {n}.txt" for n in range(199, 189, -1)]


def test_a_whole_word_ranks_before_one_that_it_begins(session: Session) -> None:
    keys, exact = found(session, Bounds(ranked=50, counted=50, seconds=60), "report", scope=Owner(OWNER))
    assert not exact
    assert keys[:5] == [f"mine/report {n}.txt" for n in range(99, 94, -1)]
    rest = keys[5:]
    assert [key for key in rest if "reports" in key] == rest[-sum("reports" in key for key in rest) :]


def test_nobody_elses_files_crowd_out_the_callers_own(session: Session) -> None:
    keys, exact = found(session, NONE_OF_IT, "report", scope=Owner(OWNER))
    assert len(keys) >= 10
    assert all(key.startswith("mine/") for key in keys)
    assert not exact


def test_where_the_index_takes_too_long_the_newest_files_answer(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (candidates, facets):
        monkeypatch.setattr(module, "attempt", lambda *_: None)

    tiny = Bounds(ranked=2, counted=30, seconds=60)
    keys, exact = found(session, tiny, "report", prefix="other/")
    assert (keys, exact) == ([f"other/report {n}.txt" for n in (199, 198, 197)], False)
    assert found(session, tiny, "early") == ([], False)

    some = counted(session, NONE_OF_IT, tags=("other",))
    assert (some["exact"], some["counted"]) == (False, 31)
    everything = counted(session, ALL_OF_IT, tags=("early",))
    assert (everything["exact"], everything["counted"]) == (True, 5)


def test_an_attempt_that_takes_too_long_ends_nothing_else(session: Session) -> None:
    session.execute(text("SET LOCAL statement_timeout = 60000"))
    assert attempt(session, 0.01, text("SELECT pg_sleep(CAST(:n AS float))"), {"n": 20}) is None
    row = attempt(session, 20, text("SELECT CAST(:n AS int) AS n"), {"n": 1})
    assert row is not None
    assert row.n == 1
    assert session.scalar(text("SHOW statement_timeout")) == "1min"


def test_cursors_of_a_search_go_on_in_a_changed_catalogue(session: Session) -> None:
    filters = FileFilters(terms=("report",))
    page = search_files(session, EVERYONE, filters, NONE_OF_IT, 5, None)
    with session.begin_nested() as savepoint:
        fill(session, OTHER, ["other/report new.txt"], start=500)
        index_files(session, 10)
        following = search_files(session, EVERYONE, filters, NONE_OF_IT, 5, page.next_cursor)
        ids = {UUID(item["id"]) for item in json.loads(page.items) + json.loads(following.items)}
        assert ids == {file_id(n) for n in range(190, 200)}
        savepoint.rollback()
