"""How many pages of tables and indexes something reads: what time can't prove, this can."""

from collections.abc import Callable, Collection

from sqlalchemy import Engine, text

from chalicelib.db.bounds import Bounds
from chalicelib.db.engine import Session, act_for, transaction
from chalicelib.db.facets import count_files
from chalicelib.db.file_filters import FileFilters
from chalicelib.db.file_lists import is_any_stored, list_files
from chalicelib.db.scope import Scope

Way = Callable[[Session, Scope, FileFilters], None]
BOUNDS = Bounds(ranked=100, counted=1000, seconds=60)

_PAGES = text("""
SELECT (SELECT sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit, 0) + coalesce(idx_blks_read, 0))
    FROM pg_statio_user_tables WHERE relname = ANY(CAST(:tables AS text[])))
""")
_FILES = ("files", "file_search", "search_queue")
_STILL = "ALTER TABLE {} SET (autovacuum_enabled = false)"


def hold_still(engine: Engine, *tables: str) -> None:
    """Have nobody read or change these tables but the test."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in tables:
            connection.execute(text(_STILL.format(table)))
            connection.execute(text(f"VACUUM ANALYZE {table}"))


def pages_read(engine: Engine, scope: Scope, filters: FileFilters, way: Way) -> int:
    """How many pages ``way`` reads; once it has been asked, so that nothing is read for the first time."""

    def ask(session: Session) -> None:
        act_for(session, scope)
        way(session, scope, filters)

    return pages_of(engine, ask, *_FILES)


def pages_of(engine: Engine, ask: Callable[[Session], object], *tables: str) -> int:
    """How many pages of these tables ``ask`` reads; once it has asked before."""
    counts = []
    for _ in range(2):
        before = _read_so_far(engine, tables)
        with transaction(engine) as session:
            ask(session)
            session.execute(text("SELECT pg_stat_force_next_flush()"))
        counts.append(_read_so_far(engine, tables) - before)
    return counts[-1]


def _read_so_far(engine: Engine, tables: Collection[str]) -> int:
    with transaction(engine) as session:
        session.execute(text("SELECT pg_stat_clear_snapshot()"))
        return int(session.execute(_PAGES, {"tables": list(tables)}).scalar_one())


def newest(session: Session, scope: Scope, filters: FileFilters) -> None:
    """Finds nothing in the list, and so do the others below."""
    assert list_files(session, scope, filters, "-created", 10, None).items == "[]"


def by_name(session: Session, scope: Scope, filters: FileFilters) -> None:
    assert list_files(session, scope, filters, "name", 10, None).items == "[]"


def facets(session: Session, scope: Scope, filters: FileFilters) -> None:
    assert '"exact" : true, "counted" : 0' in count_files(session, scope, filters, ["type"], BOUNDS)


def every_facet(session: Session, scope: Scope, filters: FileFilters) -> None:
    assert '"counted" : 0' in count_files(session, scope, filters, ["type"], None)


def is_there(session: Session, scope: Scope, filters: FileFilters) -> None:
    assert not is_any_stored(session, scope, filters)
