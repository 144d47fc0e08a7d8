"""What one owner asks by keys, folders, types, sizes and times reads nothing of others': pages are counted; time is no proof."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from chalicelib.db.bounds import Bounds
from chalicelib.db.engine import Session, act_for, create_catalog_engine, transaction
from chalicelib.db.file_filters import FileFilters
from chalicelib.db.file_lists import list_files
from chalicelib.db.files import find_file_at
from chalicelib.db.folders import Folder, FolderSum, files_below, list_folders, sum_below
from chalicelib.db.scope import Owner, Scope
from chalicelib.ids import moment_of
from tests.support.bounded import OTHER, OWNER, add_owners
from tests.support.pages_read import (
    BOUNDS,
    by_name,
    every_facet,
    facets,
    hold_still,
    is_there,
    newest,
    pages_of,
    pages_read,
)

MANY, OWN = 20_000, 5_000
UPDATED = datetime(2026, 1, 1, tzinfo=UTC)
SHARED = Owner(OTHER, session_id="shared")

_FILES = text("""
INSERT INTO files (id, bucket, key, name, state, owner_id, session_id, media_type, version_id, rank, size, stored_at, created_at,
    updated_at)
SELECT CAST('01900000-000' || length(:key) || '-7000-8000-' || lpad(to_hex(CAST(:first AS int) + n), 12, '0') AS uuid), 'b',
    :owner || :key || n, 'n' || n, 'stored', CAST(:owner AS uuid), :session_id, CAST(:key AS text), 'v', n::text,
    length(:key) * 1000, now(), now(), CAST(:updated AS timestamptz) + length(:key) * interval '1 day'
FROM generate_series(1, CAST(:count AS int)) AS n
""")


@pytest.fixture(scope="module")
def crowded(new_migrated_database: Callable[[], str]) -> Iterator[Engine]:
    """A stranger with many files, and somebody with four times as many, who shares fifty of them."""
    engine = create_catalog_engine(new_migrated_database())
    with transaction(engine) as session:
        add_owners(session)
        for owner, key, first, count, session_id in (
            (OTHER, "/zebra/", 0, MANY, None),
            (OTHER, "/shared/", MANY, 50, "shared"),
            (OWNER, "/a/", MANY + 50, OWN, None),
        ):
            values = {"owner": str(owner), "key": key, "first": first, "count": count, "session_id": session_id}
            session.execute(_FILES, values | {"updated": UPDATED})
    hold_still(engine, "files", "file_search", "search_queue")
    yield engine
    engine.dispose()


def _within(name: str, moment: datetime) -> dict[str, Any]:
    return {f"{name}_after": moment, f"{name}_before": moment + timedelta(milliseconds=1)}


# By what another has in each file, and by what nobody has.
ASKED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "key": ({"key": f"{OTHER}/zebra/7"}, {"key": f"{OTHER}/okapi/7"}),
    "prefix": ({"prefix": f"{OTHER}/zebra/"}, {"prefix": f"{OTHER}/okapi/"}),
    "folder": ({"folder": f"{OTHER}/zebra/"}, {"folder": f"{OTHER}/okapi/"}),
    "media_type": ({"media_type": "/zebra/"}, {"media_type": "/okapi/"}),
    "media_family": ({"media_type": "/zebra/*"}, {"media_type": "/okapi/*"}),
    "size": ({"min_size": 7000, "max_size": 7000}, {"min_size": 7001, "max_size": 7001}),
    "updated": (_within("updated", UPDATED + timedelta(days=7)), _within("updated", UPDATED + timedelta(days=6))),
    "created": (
        _within("created", moment_of(UUID("01900000-0007-7000-8000-000000000000"))),
        _within("created", moment_of(UUID("01900000-0006-7000-8000-000000000000"))),
    ),
}


@pytest.mark.parametrize("scope", [Owner(OWNER), SHARED], ids=["a stranger", "a member of a session"])
@pytest.mark.parametrize("way", [newest, by_name, facets, every_facet, is_there])
@pytest.mark.parametrize("state", [None, "stored", "any"])
@pytest.mark.parametrize("asked", ASKED)
def test_a_filter_reads_as_much_for_what_others_have_as_for_what_nobody_has(
    crowded: Engine, way: Callable[[Session, Scope, FileFilters], None], asked: str, scope: Scope, state: str | None
) -> None:
    theirs, nobodys = (pages_read(crowded, scope, FileFilters(state=state, **values), way) for values in ASKED[asked])
    assert abs(theirs - nobodys) <= 2, (theirs, nobodys)


@pytest.mark.parametrize("acts_before", [False, True], ids=["alone", "in a transaction that writes"])
def test_a_key_of_somebody_else_is_not_read_at_all(crowded: Engine, acts_before: bool) -> None:
    scope = Owner(OWNER)

    def pages(key: str) -> int:
        def ask(session: Session) -> None:
            if acts_before:
                session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": 1})
            act_for(session, scope)
            assert find_file_at(session, scope, "b", key) is None
            newest(session, scope, FileFilters(key=key))

        return pages_of(crowded, ask, "files")

    assert pages(f"{OTHER}/zebra/7") == pages(f"{OTHER}/okapi/7")


def _folders(session: Session, scope: Scope, prefix: str, bounds: Bounds | None) -> None:
    assert list_folders(session, scope, Folder("b", prefix), bounds, 10, None).items == "[]"


def _sum(session: Session, scope: Scope, prefix: str, bounds: Bounds | None) -> None:
    assert sum_below(session, scope, Folder("b", prefix), bounds) == FolderSum(0, 0, True)


def _files(session: Session, scope: Scope, prefix: str, _bounds: Bounds | None) -> None:
    assert files_below(session, scope, Folder("b", prefix), datetime.now(UTC), None, 500) == []


@pytest.mark.parametrize("scope", [Owner(OWNER), SHARED], ids=["a stranger", "a member of a session"])
@pytest.mark.parametrize("bounds", [BOUNDS, None])
@pytest.mark.parametrize("way", [_folders, _sum, _files])
def test_a_folder_of_somebody_else_reads_as_much_as_a_folder_of_nobody(
    crowded: Engine,
    way: Callable[[Session, Scope, str, Bounds | None], None],
    bounds: Bounds | None,
    scope: Scope,
) -> None:
    def pages(prefix: str) -> int:
        def ask(session: Session) -> None:
            act_for(session, scope)
            way(session, scope, prefix, bounds)

        return pages_of(crowded, ask, "files")

    theirs, nobodys = (pages(f"{OTHER}{below}") for below in ("/zebra/", "/okapi/"))
    assert abs(theirs - nobodys) <= 2, (theirs, nobodys)


@pytest.mark.parametrize("asked", [{"prefix": f"{OTHER}/"}, {"folder": f"{OTHER}/zebra/"}])
@pytest.mark.parametrize("sort", ["-created", "created", "name", "-updated"])
def test_most_of_ones_own_files_are_not_sorted_for_a_page(crowded: Engine, asked: dict[str, str], sort: str) -> None:
    """Whoever has all files below one prefix asks for them as often as for any."""

    def page(session: Session) -> None:
        act_for(session, Owner(OTHER))
        assert list_files(session, Owner(OTHER), FileFilters(**asked), sort, 10, None).next_cursor  # type: ignore[arg-type]

    assert pages_of(crowded, page, "files") < 700, "there are more than twenty thousand"


@pytest.mark.parametrize("sort", ["name", "-name"])
@pytest.mark.parametrize("owner_id", [OWNER, OTHER], ids=["few", "most"])
def test_a_page_by_name_reads_no_more_than_its_files(crowded: Engine, owner_id: UUID, sort: str) -> None:
    """Whether others have as many names between them, or hardly any. The second page, as it has the most conditions."""
    scope = Owner(owner_id)

    def page(session: Session) -> None:
        act_for(session, scope)
        cursor = list_files(session, scope, FileFilters(), sort, 10, None).next_cursor
        assert list_files(session, scope, FileFilters(), sort, 10, cursor).next_cursor

    assert pages_of(crowded, page, "files") < 50


def test_few_of_ones_own_files_are_read_by_their_keys(crowded: Engine) -> None:
    def page(session: Session) -> None:
        act_for(session, Owner(OTHER))
        page = list_files(session, Owner(OTHER), FileFilters(prefix=f"{OTHER}/zebra/777"), "-created", 50, None)
        assert len(json.loads(page.items)) == 11

    assert pages_of(crowded, page, "files") < 100


def test_a_folder_is_deleted_without_reading_again_what_was_read(crowded: Engine) -> None:
    folder, last = Folder("b", f"{OTHER}/zebra/"), None

    def step(session: Session) -> Sequence[UUID]:
        act_for(session, Owner(OTHER))
        return files_below(session, Owner(OTHER), folder, datetime.now(UTC), last, 500)

    with transaction(crowded) as session:
        last = step(session)[-1]
        last = step(session)[-1]
    assert pages_of(crowded, step, "files") < 200, "there are nineteen thousand left"
