"""Searching one owner's files reads nothing of anybody else's: pages are counted, since time is no proof."""

import json
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, text

from chalicelib.db import own_words
from chalicelib.db.engine import Session, act_for, create_catalog_engine, transaction
from chalicelib.db.facets import count_files
from chalicelib.db.file_filters import FileFilters
from chalicelib.db.file_lists import list_files, search_files
from chalicelib.db.scope import Owner, Scope
from tests.support.bounded import OTHER, OWNER, add_owners, file_id
from tests.support.pages_read import BOUNDS, by_name, every_facet, facets, hold_still, is_there, newest, pages_read

MANY, OWN = 20_000, 300
SHARED = Owner(OTHER, session_id="shared")

_FILES = text("""
INSERT INTO files (id, bucket, key, name, state, owner_id, session_id, created_at, updated_at)
SELECT CAST('01900000-0000-7000-8000-' || lpad(to_hex(CAST(:first AS int) + n), 12, '0') AS uuid), 'b', :key || n, '',
    'pending', CAST(:owner AS uuid), :session_id, now(), now() FROM generate_series(1, CAST(:count AS int)) AS n
""")
_WORDS = text("""
INSERT INTO file_search (file_id, words, document)
SELECT id, words, to_tsvector('simple', words) FROM files, lower(replace(key, '/', ' ')) AS words
""")


@pytest.fixture(scope="module")
def crowded(new_migrated_database: Callable[[], str]) -> Iterator[Engine]:
    """A stranger with three hundred files, and somebody with twenty thousand and a zebra in each, who shares the last fifty."""
    engine = create_catalog_engine(new_migrated_database())
    with transaction(engine) as session:
        add_owners(session)
        for owner, key, first, count, session_id in (
            (OTHER, "other/zebra/", 0, MANY, None),
            (OTHER, "other/plain/", MANY, 50, "shared"),
            (OWNER, "mine/gnu/", MANY + 50, OWN, None),
        ):
            values = {"owner": owner, "key": key, "first": first, "count": count, "session_id": session_id}
            session.execute(_FILES, values)
        session.execute(_WORDS)
        session.execute(text("DELETE FROM search_queue"))
    hold_still(engine, "files", "file_search", "search_queue")
    yield engine
    engine.dispose()


def _by_relevance(session: Session, scope: Scope, filters: FileFilters) -> None:
    assert search_files(session, scope, filters, BOUNDS, 10, None).items == "[]"


def _exactly(session: Session, scope: Scope, filters: FileFilters) -> None:
    assert search_files(session, scope, filters, None, 10, None).items == "[]"


WAYS = (_by_relevance, _exactly, newest, by_name, facets, every_facet, is_there)
# What another has in each file, beginnings of it and with an error; and what nobody has.
WORDS = (("zebra", "okapi"), ("zeb", "oka"), ("zebru", "okapu"), ("zbera", "oakpi"))


@pytest.mark.parametrize("scope", [Owner(OWNER), SHARED], ids=["a stranger", "a member of a session"])
@pytest.mark.parametrize("way", WAYS)
def test_a_search_reads_as_much_for_what_others_have_as_for_what_nobody_has(
    crowded: Engine, way: Callable[[Session, Scope, FileFilters], None], scope: Owner
) -> None:
    for words in WORDS:
        theirs, nobodys = (pages_read(crowded, scope, FileFilters(terms=(word,)), way) for word in words)
        assert abs(theirs - nobodys) <= 2, (words, theirs, nobodys)
        assert theirs < 1000
    two = [pages_read(crowded, scope, FileFilters(terms=("mine", word)), way) for word in WORDS[0]]
    assert abs(two[0] - two[1]) <= 2, two


def test_the_pages_of_others_would_be_counted(crowded: Engine) -> None:
    with transaction(crowded) as session:
        session.execute(text("INSERT INTO search_queue VALUES (CAST(:id AS uuid), true)"), {"id": file_id(1)})
    theirs, nobodys = (pages_read(crowded, Owner(OWNER), FileFilters(terms=(word,)), _exactly) for word in WORDS[0])
    with transaction(crowded) as session:
        session.execute(text("DELETE FROM search_queue"))
    assert theirs > nobodys + 100


def test_words_that_many_of_the_owners_files_have_are_looked_for_among_the_newest(
    crowded: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_words, "_COMMON", 10_000)
    zebras = FileFilters(terms=("zebra",))
    with transaction(crowded) as session:
        act_for(session, Owner(OTHER))
        found = own_words.find_own_words(session, OTHER, None, ["zebra", "okapi"])
        assert found is not None
        assert found.common == (0,)
        page = search_files(session, Owner(OTHER), zebras, BOUNDS, 10, None)
        assert page.exact is False
        assert all("zebra" in item["key"] for item in json.loads(page.items))
        newest = list_files(session, Owner(OTHER), zebras, "-created", 2, None)
        assert [item["key"] for item in json.loads(newest.items)] == [f"other/zebra/{MANY - n}" for n in (0, 1)]
        assert f'"counted" : {MANY},' in count_files(session, Owner(OTHER), zebras, ["type"], None)
        both = list_files(session, Owner(OTHER), FileFilters(terms=("zebra", "19999")), "-created", 2, None)
        assert [item["key"] for item in json.loads(both.items)] == ["other/zebra/19999"]
        assert list_files(session, Owner(OWNER), zebras, "-created", 2, None).items == "[]"
