"""At 200,000 files the planner answers every list by an index, never by reading or sorting the whole table."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, TextClause, create_engine, text
from sqlalchemy.orm import Session

from chalicelib.catalog.metadata_filters import parse_filter
from chalicelib.db.file_filters import FileFilters
from chalicelib.db.file_lists import SORTS, page_statements
from chalicelib.db.search import index_files

ROWS = 200_000
OWNER = UUID("00000000-0000-7000-8000-0000000000a1")
START = datetime(2026, 1, 1, tzinfo=UTC)

_USERS = text("""
INSERT INTO users (id, name, created_at, updated_at)
SELECT CAST('00000000-0000-7000-8000-0000000000a' || n AS uuid), 'User ' || n, :start, :start
FROM generate_series(0, 9) AS n
""")
_SESSIONS = text("""
INSERT INTO sessions (id, owner_id, session_id, created_at, updated_at)
SELECT gen_random_uuid(), u.id, 's' || n, :start, :start FROM users AS u, generate_series(0, 99) AS n
""")
# One file a minute. Half have an owner, one in ten of those a session; one in a hundred is pending, and one deleted.
_FILES = text("""
INSERT INTO files (id, bucket, key, name, state, owner_id, session_id, version_id, size, etag, media_type, stored_at,
    created_at, updated_at, tags, metadata)
SELECT CAST(lpad(to_hex(CAST(extract(epoch FROM moment) * 1000 AS bigint)), 12, '0') || '7000a'
        || lpad(to_hex(n), 15, '0') AS uuid),
    'bucket-' || mod(n, 20), md5(n::text) || '/' || n, md5('name' || n), state,
    CASE WHEN mod(n, 2) = 0 THEN CAST('00000000-0000-7000-8000-0000000000a' || mod(n / 2, 10) AS uuid) END,
    CASE WHEN mod(n, 20) = 0 THEN 's' || mod(n / 20, 100) END,
    CASE WHEN state = 'stored' THEN '' END, CASE WHEN state = 'stored' THEN mod(n * 7919, 1000003) END,
    CASE WHEN state = 'stored' THEN md5(n::text) END,
    CASE WHEN state = 'stored' THEN (ARRAY['image/png', 'image/jpeg', 'text/plain', 'video/mp4'])[mod(n, 4) + 1] END,
    CASE WHEN state = 'stored' THEN moment END, moment, moment + make_interval(secs => mod(n * 31, 100000)),
    CASE WHEN mod(n, 500) = 0 THEN ARRAY['tag' || mod(n, 7)] ELSE '{}' END,
    CASE WHEN mod(n, 400) = 0 THEN jsonb_build_object('iso', mod(n, 3200)) ELSE '{}' END
FROM (
    SELECT n, CAST(:start AS timestamptz) + make_interval(mins => n) AS moment,
        CASE mod(n, 100) WHEN 7 THEN 'pending' WHEN 13 THEN 'deleted' ELSE 'stored' END AS state
    FROM generate_series(1, :rows) AS n) AS made
""")


@pytest.fixture(scope="module")
def connection(new_migrated_database: Callable[[], str]) -> Iterator[Connection]:
    engine = create_engine(new_migrated_database(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in (_USERS, _SESSIONS, _FILES):
            names = statement.compile().params
            values = {"start": START, "rows": ROWS}
            connection.execute(statement, {name: values[name] for name in names})
        with Session(connection) as session:
            index_files(session, ROWS)
        connection.execute(text("VACUUM ANALYZE"))
        yield connection
    engine.dispose()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def plans(connection: Connection, filters: FileFilters, sort: str, after: Any = None) -> list[list[dict[str, Any]]]:
    """The nodes of each statement that this page runs."""
    found = []
    for statement, parameters in page_statements(filters, sort, 100, after):
        explain = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}")
        plan = connection.execute(
            explain, parameters | {"limit": 101, "rows_left": 100, "bytes_left": 2_000_000, "at_least": 1}
        ).scalar_one()
        plan = json.loads(plan) if isinstance(plan, str) else plan
        found.append(list(nodes(plan[0]["Plan"])))
    return found


def generic_plan(connection: Connection, statement: TextClause) -> list[dict[str, Any]]:
    """The nodes of the plan that serves all values."""
    names = list(statement.compile().params)
    numbered = re.sub(r"(?<![:\w]):(\w+)", lambda found: f"${names.index(found[1]) + 1}", statement.text)
    cursor = connection.connection.cursor()
    cursor.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {numbered}")
    (plan,) = cursor.fetchone()
    return list(nodes(plan[0]["Plan"]))


def reads(plan: list[dict[str, Any]]) -> list[str]:
    return [node["Node Type"] for node in plan]


FILTERS = {
    "owner": FileFilters(owner_id=OWNER),
    "owner's session": FileFilters(owner_id=OWNER, session_id="s1"),
    "session": FileFilters(session_id="s1"),
    "bucket": FileFilters(bucket="bucket-3"),
    "key": FileFilters(key="c4ca4238a0b923820dcc509a6f75849b/1"),
    "key prefix": FileFilters(prefix="c4ca"),
    "pending": FileFilters(state="pending"),
    "deleted": FileFilters(state="deleted"),
    "stored": FileFilters(state="stored"),
    "any state": FileFilters(state="any"),
    "media type": FileFilters(media_type="image/png"),
    "media family": FileFilters(media_type="image/*"),
    "sizes": FileFilters(min_size=1000, max_size=2000),
    "creation": FileFilters(created_after=START + timedelta(days=9), created_before=START + timedelta(days=10)),
    "tag": FileFilters(tags=("tag3",)),
    "metadata": FileFilters(metadata=(parse_filter("metadata.iso", "400"),)),
    "words": FileFilters(terms=("c4ca4238a0b923820dcc509a6f75849b",)),
    "change": FileFilters(updated_after=START + timedelta(days=9), updated_before=START + timedelta(days=10)),
}


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("name", FILTERS)
def test_no_filter_reads_the_whole_table_in_any_order(connection: Connection, name: str, sort: str) -> None:
    for plan in plans(connection, FILTERS[name], sort):
        assert "Seq Scan" not in reads(plan)


@pytest.mark.parametrize("owner_id", [None, OWNER], ids=["operator", "member"])
@pytest.mark.parametrize("depth", ["first page", "deep"])
@pytest.mark.parametrize("sort", SORTS)
def test_a_plain_list_walks_one_index_and_sorts_nothing(
    connection: Connection, sort: str, depth: str, owner_id: UUID | None
) -> None:
    after = {"first page": None, "deep": deep_place(connection, sort)}[depth]
    for plan in plans(connection, FileFilters(owner_id=owner_id), sort, after):
        assert "Seq Scan" not in reads(plan)
        if owner_id is None:
            assert not {"Sort", "Incremental Sort", "Bitmap Heap Scan"} & set(reads(plan))
            scan = plan[-1]
            # It stops at the page's end instead of walking on, and starts at the page's start instead of skipping.
            assert scan["Actual Rows"] <= 101
            assert scan.get("Rows Removed by Filter", 0) <= 101


ONE_WALK = {
    "everybody": (FileFilters(), SORTS),
    "owner": (FileFilters(owner_id=OWNER), ("created", "-created", "name", "-name")),
    "bucket": (FileFilters(bucket="bucket-3"), ("created", "-created")),
    "key": (FileFilters(key="c4ca4238a0b923820dcc509a6f75849b/1"), ("created", "-created")),
}


@pytest.mark.parametrize("after", [None, [None, OWNER], [1, OWNER]], ids=["first page", "without a value", "deep"])
@pytest.mark.parametrize(("name", "sort"), [(name, sort) for name, (_, sorts) in ONE_WALK.items() for sort in sorts])
def test_the_one_plan_of_a_prepared_list_walks_an_index_whatever_its_values_are(
    connection: Connection, name: str, sort: str, after: Any
) -> None:
    for statement, _ in page_statements(ONE_WALK[name][0], sort, 100, after):
        assert statement.get_execution_options()["prepared"] == "read"
        plan = reads(generic_plan(connection, statement))
        assert "Seq Scan" not in plan
        assert name == "key" or "Sort" not in plan


@pytest.mark.parametrize("state", ["pending", "deleted"])
@pytest.mark.parametrize("sort", ["size", "-size", "created", "-created"])
def test_rare_states_are_found_without_reading_the_others(connection: Connection, state: str, sort: str) -> None:
    for plan in plans(connection, FileFilters(state=state), sort):
        assert sum(node.get("Rows Removed by Filter", 0) for node in plan) <= ROWS / 50


@pytest.mark.parametrize(
    ("name", "sort"),
    # A session has so few files that sorting them may be cheaper; what matters there is that no others are read.
    [("owner", "-created"), ("bucket", "-created"), ("media type", "-created")],
)
def test_the_newest_files_of_a_filter_come_from_its_index_in_order(
    connection: Connection, name: str, sort: str
) -> None:
    for plan in plans(connection, FILTERS[name], sort):
        assert "Sort" not in reads(plan)


@pytest.mark.parametrize(
    ("name", "condition"),
    [("key prefix", "key >="), ("sizes", "size >="), ("creation", "id >="), ("pending", "state =")],
)
def test_a_range_filter_reads_a_range_of_an_index(connection: Connection, name: str, condition: str) -> None:
    sort = "size" if name == "sizes" else "-created"
    (plan, *_) = plans(connection, FILTERS[name], sort)
    assert any(condition in node.get("Index Cond", "") for node in plan), plan


def deep_place(connection: Connection, sort: str) -> list[Any]:
    """The place of the file in the middle of this order."""
    column = {"created": "id", "updated": "updated_at"}.get(sort.lstrip("-"), sort.lstrip("-"))
    statement = f"SELECT {column}, id FROM files WHERE {column} IS NOT NULL ORDER BY 1, 2 OFFSET 100000 LIMIT 1"
    return list(connection.execute(text(statement)).one())
