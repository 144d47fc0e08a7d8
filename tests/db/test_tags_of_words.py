"""Whose a file's words are: kept with each change of owner or session, and for what was indexed before."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from chalicelib.db import migrate, own_words
from chalicelib.db.bounds import Bounds
from chalicelib.db.engine import Session, act_for, create_catalog_engine, transaction
from chalicelib.db.file_filters import FileFilters
from chalicelib.db.file_lists import list_files, search_files
from chalicelib.db.handing_over import give_files
from chalicelib.db.own_words import beginnings_with_an_error, tag_of
from chalicelib.db.scope import Owner
from chalicelib.db.search import index_files, terms_of
from tests.support.bounded import OTHER, OWNER, file_id, fill

NOW = datetime(2026, 11, 1, tzinfo=UTC)
BOUNDS = Bounds(ranked=100, counted=1000, seconds=60)


@pytest.fixture
def engine(new_migrated_database: Callable[[], str]) -> Iterator[Engine]:
    """Two users; one has two files."""
    engine = create_catalog_engine(new_migrated_database())
    with transaction(engine) as session:
        add_two(session)
    index(engine)
    yield engine
    engine.dispose()


def add_two(session: Session) -> None:
    fill(session, OTHER, [], start=0)
    fill(session, OWNER, ["holiday.txt", "reports/4711.txt"], start=1)
    session.execute(
        text("""INSERT INTO sessions (id, owner_id, session_id, created_at, updated_at)
            VALUES (:id, :owner_id, 'trip', now(), now())"""),
        {"id": UUID(int=7), "owner_id": OWNER},
    )


def index(engine: Engine) -> None:
    with transaction(engine) as session:
        while index_files(session, 1000):
            pass


def found(engine: Engine, scope: Owner, *terms: str, **filters: Any) -> list[str]:
    """Keys, by each of the ways to search, which all find the same."""
    answers = []
    for way in (
        lambda session, of: search_files(session, scope, of, BOUNDS, 10, None),
        lambda session, of: search_files(session, scope, of, None, 10, None),
        lambda session, of: list_files(session, scope, of, "name", 10, None),
    ):
        with transaction(engine) as session:
            act_for(session, scope)
            page = way(session, FileFilters(terms=terms, **filters))
            assert page.exact is not False
            answers.append(sorted(item["key"] for item in json.loads(page.items)))
    assert answers[0] == answers[1] == answers[2]
    return answers[0]


@pytest.mark.parametrize(
    ("term", "errors"),
    [
        ("report", {"reqort", "rpeort", "repor", "eport", "reeport", "rreport"}),
        ("holiday", {"holida", "holyday", "holidya", "hliday", "hholiday"}),
        ("übersicht", {"bersicht", "übersich", "übersiccht", "büersicht"}),
    ],
)
def test_one_letter_may_be_wrong(term: str, errors: set[str]) -> None:
    beginnings = beginnings_with_an_error(term)
    assert len(beginnings) == len(set(beginnings))
    assert {error for error in errors if not error.startswith(tuple(beginnings))} == set()
    assert not [one for one in beginnings for other in beginnings if one != other and one.startswith(other)]


@pytest.mark.parametrize("term", ["rome", "20260501", "e" * 25, "日本語"])
def test_short_words_and_numbers_are_taken_as_they_are(term: str) -> None:
    assert beginnings_with_an_error(term) == []


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (("holiday",), ["holiday.txt"]),
        (("holi",), ["holiday.txt"]),
        (("holyday",), ["holiday.txt"]),
        (("hoilday",), ["holiday.txt"]),
        (("holidayss",), []),
        (("holiday", "txt"), ["holiday.txt"]),
        (("reqorts", "4711"), ["reports/4711.txt"]),
        (("reqorts", "holiday"), []),
        (("txt",), ["holiday.txt", "reports/4711.txt"]),
        (("4712",), []),
    ],
)
def test_words_are_found_whole_begun_or_with_an_error(
    engine: Engine, terms: tuple[str, ...], expected: list[str]
) -> None:
    assert found(engine, Owner(OWNER), *terms) == expected
    assert found(engine, Owner(OTHER), *terms) == []


def test_words_that_postgres_cuts_are_found(engine: Engine) -> None:
    with transaction(engine) as session:
        fill(session, OWNER, ["12e45abc.txt"], start=9)
    index(engine)
    assert found(engine, Owner(OWNER), "12e45ab") == found(engine, Owner(OWNER), "12e45abc") == ["12e45abc.txt"]


def test_words_go_with_their_file(engine: Engine) -> None:
    with transaction(engine) as session:
        assert give_files(session, Owner(OWNER), [file_id(1)], OTHER, NOW) == 1
    assert found(engine, Owner(OWNER), "holiday") == []
    index(engine)
    assert found(engine, Owner(OTHER), "holiday") == ["holiday.txt"]
    assert found(engine, Owner(OWNER), "holiday") == []


def test_words_go_with_their_file_into_a_session_and_out(engine: Engine) -> None:
    trip = Owner(OWNER, session_id="trip")
    assert found(engine, trip, "holiday") == []
    for session_id, expected in (("trip", ["holiday.txt"]), (None, [])):
        with transaction(engine) as session:
            session.execute(
                text("UPDATE files SET session_id = :session_id WHERE id = :id"),
                {"session_id": session_id, "id": file_id(1)},
            )
        index(engine)
        assert found(engine, trip, "holiday") == found(engine, Owner(OWNER), "holiday", session_id="trip") == expected
        assert found(engine, Owner(OWNER), "holiday") == ["holiday.txt"]


def test_an_event_that_leaves_the_owner_as_it_is_queues_nothing(engine: Engine) -> None:
    with transaction(engine) as session:
        session.execute(text("UPDATE files SET owner_id = owner_id, session_id = session_id"))
        assert session.scalar(text("SELECT count(*) FROM search_queue")) == 0


def test_a_file_given_away_while_it_is_indexed_is_indexed_again(engine: Engine) -> None:
    with transaction(engine) as session:
        session.execute(text("INSERT INTO search_queue VALUES (:id)"), {"id": file_id(1)})
    with engine.connect() as giving:
        giving.execute(text("UPDATE files SET owner_id = :to WHERE id = :id"), {"to": OTHER, "id": file_id(1)})
        index(engine)
        giving.commit()
    index(engine)
    assert found(engine, Owner(OTHER), "holiday") == ["holiday.txt"]


def test_tags_are_the_same_in_python_and_postgres(engine: Engine) -> None:
    with transaction(engine) as session:
        session.execute(
            text("UPDATE files SET session_id = 'trip' WHERE id = :id"),
            {"id": file_id(1)},
        )
        index_files(session, 10)
        tags = session.execute(text("SELECT owner_tag, session_tag FROM file_search ORDER BY file_id")).all()
    assert [tuple(row) for row in tags] == [
        (tag_of(OWNER, None), tag_of(OWNER, "trip")),
        (tag_of(OWNER, None), ""),
    ]


def test_what_was_indexed_before_is_found_until_it_has_its_tags_and_then(empty_engine: Engine) -> None:
    migrate.upgrade(empty_engine, "0023")
    with transaction(empty_engine) as session:
        add_two(session)
        fill(session, None, ["nobodys.txt"], start=5)
        session.execute(
            text("""INSERT INTO file_search (file_id, words, document)
            SELECT id, key, to_tsvector('simple', replace(replace(key, '.', ' '), '/', ' ')) FROM files""")
        )
        session.execute(text("DELETE FROM search_queue"))
    migrate.upgrade(empty_engine)
    queued = text("SELECT file_id FROM search_queue WHERE is_untagged ORDER BY file_id")
    with transaction(empty_engine) as session:
        assert session.scalars(queued).all() == [file_id(1), file_id(2)]
    assert found(empty_engine, Owner(OWNER), "holyday") == ["holiday.txt"]

    with transaction(empty_engine) as session:
        index_files(session, 1)
    assert found(empty_engine, Owner(OWNER), "holiday") == ["holiday.txt"]
    index(empty_engine)
    with transaction(empty_engine) as session:
        assert session.scalars(queued).all() == []
    assert found(empty_engine, Owner(OWNER), "hoilday") == ["holiday.txt"]


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("PowerPoint.pptx", "powerpoint"),
        ("PowerPoint.pptx", "PowerPoint"),
        ("PowerPoint.pptx", "point"),
        ("invoiceMarch2026.pdf", "invoiceMarch2026"),
        ("CO\u2082 and m\u00b2.txt", "CO\u2082"),
        ("re\u0301sume\u0301.doc", "r\u00e9sum\u00e9"),
        ("r\u00e9sum\u00e9.doc", "re\u0301sume\u0301"),
        ("\u0130zmir.jpg", "\u0130zmir"),
        ("\u0130zmir.jpg", "izmir"),
        ("\u00dcBERSICHT.txt", "\u00fcbersicht"),
    ],
)
def test_a_file_is_found_by_the_name_that_it_has(engine: Engine, name: str, query: str) -> None:
    rename(engine, file_id(2), name)
    assert found(engine, Owner(OWNER), *terms_of(query)) == ["reports/4711.txt"]


@pytest.mark.parametrize("letters", [2038, 2039, 2046, 2047, 5000])
def test_a_word_that_is_too_long_to_be_found_holds_nothing_up(engine: Engine, letters: int) -> None:
    rename(engine, file_id(2), f"short {'a' * letters}")
    assert found(engine, Owner(OWNER), "short") == ["reports/4711.txt"]


def test_a_beginning_of_very_many_words_is_looked_for_while_walking(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_words, "_COMMON", 1)
    for number in (1, 2):
        rename(engine, file_id(number), f"IMG000{number}")
    with transaction(engine) as session:
        act_for(session, Owner(OWNER))
        images = FileFilters(terms=("img",))
        listed = json.loads(list_files(session, Owner(OWNER), images, "name", 10, None).items)
        assert [item["name"] for item in listed] == ["IMG0001", "IMG0002"]


def rename(engine: Engine, file: UUID, name: str) -> None:
    with transaction(engine) as session:
        session.execute(text("UPDATE files SET name = :name WHERE id = CAST(:id AS uuid)"), {"name": name, "id": file})
    index(engine)
