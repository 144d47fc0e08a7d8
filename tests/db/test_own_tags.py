"""Asking one owner's files for tags and metadata reads nothing of anybody else's: pages are counted, since time is no proof."""

import json
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, text

from chalicelib.catalog.metadata_filters import parse_filter
from chalicelib.db.engine import Session, act_for, create_catalog_engine, transaction
from chalicelib.db.facets import count_files
from chalicelib.db.file_filters import FileFilters
from chalicelib.db.file_lists import list_files
from chalicelib.db.scope import EVERYONE, Owner, Scope
from tests.support.bounded import OTHER, OWNER, add_owners
from tests.support.pages_read import by_name, every_facet, facets, hold_still, is_there, newest, pages_read

MANY, OWN = 20_000, 300
SHARED = Owner(OTHER, session_id="shared")

_FILES = text("""
INSERT INTO files (id, bucket, key, name, state, owner_id, session_id, tags, metadata, created_at, updated_at)
SELECT CAST('01900000-0000-7000-8000-' || lpad(to_hex(CAST(:first AS int) + n), 12, '0') AS uuid), 'b', :animal || n, '',
    'pending', CAST(:owner AS uuid), :session_id, ARRAY[CAST(:animal AS text), 'n' || n],
    jsonb_build_object('animal', CAST(:animal AS text), 'n', n), now(), now()
FROM generate_series(1, CAST(:count AS int)) AS n
""")


@pytest.fixture(scope="module")
def crowded(new_migrated_database: Callable[[], str]) -> Iterator[Engine]:
    """A stranger with three hundred gnus, and somebody with twenty thousand zebras, who shares fifty quaggas."""
    engine = create_catalog_engine(new_migrated_database())
    with transaction(engine) as session:
        add_owners(session)
        for owner, animal, first, count, session_id in (
            (OTHER, "zebra", 0, MANY, None),
            (OTHER, "quagga", MANY, 50, "shared"),
            (OWNER, "gnu", MANY + 50, OWN, None),
        ):
            values = {"owner": owner, "animal": animal, "first": first, "count": count, "session_id": session_id}
            session.execute(_FILES, values)
    hold_still(engine, "files", "file_search", "search_queue")
    yield engine
    engine.dispose()


def _tagged(animal: str) -> FileFilters:
    return FileFilters(tags=(animal,))


def _described(animal: str) -> FileFilters:
    return FileFilters(metadata=(parse_filter("metadata.animal", animal),))


@pytest.mark.parametrize("scope", [Owner(OWNER), SHARED], ids=["a stranger", "a member of a session"])
@pytest.mark.parametrize("asked", [_tagged, _described])
@pytest.mark.parametrize("way", [newest, by_name, facets, every_facet, is_there])
def test_a_filter_reads_as_much_for_what_others_have_as_for_what_nobody_has(
    crowded: Engine,
    way: Callable[[Session, Scope, FileFilters], None],
    asked: Callable[[str], FileFilters],
    scope: Scope,
) -> None:
    theirs, nobodys = (pages_read(crowded, scope, asked(animal), way) for animal in ("zebra", "okapi"))
    assert abs(theirs - nobodys) <= 2, (theirs, nobodys)
    assert theirs < 1000


def test_the_pages_of_others_would_be_counted(crowded: Engine) -> None:
    def every_zebra(session: Session, scope: Scope, filters: FileFilters) -> None:
        assert f'"counted" : {MANY}' in count_files(session, scope, filters, ["type"], None)

    theirs = pages_read(crowded, EVERYONE, _tagged("zebra"), every_zebra)
    assert theirs > pages_read(crowded, Owner(OWNER), _tagged("zebra"), every_facet) + 100


@pytest.mark.parametrize("asked", [_tagged, _described])
@pytest.mark.parametrize(
    ("scope", "animal", "count"),
    [
        (Owner(OWNER), "gnu", OWN),
        (Owner(OTHER), "zebra", MANY),
        (Owner(OTHER), "quagga", 50),
        (SHARED, "quagga", 50),
        (SHARED, "zebra", 0),
        (EVERYONE, "zebra", MANY),
    ],
)
def test_a_filter_finds_what_is_there(
    crowded: Engine, asked: Callable[[str], FileFilters], scope: Scope, animal: str, count: int
) -> None:
    with transaction(crowded) as session:
        act_for(session, scope)
        assert f'"counted" : {count}' in count_files(session, scope, asked(animal), ["type"], None)
        both = FileFilters(
            tags=(animal, "n7"), metadata=(parse_filter("metadata.n", "7"), parse_filter("metadata.n:ne", "8"))
        )
        found = json.loads(list_files(session, scope, both, "-created", 5, None).items)
        assert [item["key"] for item in found] == ([f"{animal}7"] if count else [])
