"""The list of files, in every order and with every filter, and the search.

A list is one walk along an index from where the last page ended: there is no OFFSET, no count and no join. Each filter and each
order is a piece of SQL of its own; values are always bound.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from chalicelib.db.bounds import Bounds
from chalicelib.db.candidates import OF_CANDIDATES, find_candidates
from chalicelib.db.engine import prepared_read
from chalicelib.db.file_filters import (
    FileFilters,
    ScopedFilters,
    bound_filters,
    condition,
    in_scope,
    is_of_terms,
    is_wide,
    own_words_of,
)
from chalicelib.db.own_words import OwnWords
from chalicelib.db.pages import NO_ITEMS, Order, Page, PageReader, in_utc, page_statement
from chalicelib.db.scope import Scope
from chalicelib.db.search import any_words, score

# What lists show of a file: the fields of `chalicelib.api.schemas.files.FileOut`.
_ITEM = f"""id, bucket, key, version_id, name, size, etag, media_type, detected_media_type, is_mismatch, sha256, state,
    owner_id, session_id, metadata, tags, {in_utc("stored_at")} AS stored_at, {in_utc("created_at")} AS created_at,
    {in_utc("updated_at")} AS updated_at"""

_WITHOUT_OBJECT = ("pending", "deleted")
RELEVANCE = "relevance"
_ALL = FileFilters()


@dataclass(frozen=True, slots=True)
class _Sort:
    """One order. ``after`` continues behind a row, ``after_id`` behind one that has no value.

    Rows without a value come last, in a walk of their own: a row comparison with a null is neither true nor false, and
    an OR of both conditions would walk the index from its start.
    """

    order_by: str
    after: str
    after_id: str
    order: Order


def _sorts(name: str, column: str, sql_type: str, kind: type, nullable: bool = False) -> dict[str, _Sort]:
    def one(direction: str, sign: str) -> _Sort:
        order = Order("files", column, kind, direction == "DESC", nullable)
        after_id = f"id {sign} CAST(:after_id AS uuid)"
        if column == "id":
            return _Sort(f"id {direction}", after_id, after_id, order)
        after = f"({column}, id) {sign} (CAST(:after AS {sql_type}), CAST(:after_id AS uuid))"
        return _Sort(f"{column} {direction}, id {direction}", after, after_id, order)

    return {name: one("ASC", ">"), f"-{name}": one("DESC", "<")}


_SORTS: dict[str, _Sort] = {
    **_sorts("created", "id", "uuid", UUID),
    **_sorts("updated", "updated_at", "timestamptz", datetime),
    **_sorts("name", "name", "text", str),
    **_sorts("size", "size", "bigint", int, nullable=True),
}
SORTS = tuple(_SORTS)


def list_files(session: Session, scope: Scope, filters: FileFilters, sort: str, limit: int, cursor: str | None) -> Page:
    """A page of the files that match ``filters``, in the order ``sort`` (one of `SORTS`); ties go by id.

    A file that comes or goes between two pages doesn't shift the others.

    Raises:
        InvalidCursor: the cursor belongs to another list, other filters or another order.
    """
    scoped = in_scope(filters, scope)
    if scoped is None:
        return NO_ITEMS
    order = _order(scoped, sort)
    after = order.place_in(cursor) if cursor else None
    reader = PageReader(session, limit)
    own, wide = own_words_of(session, scoped), is_wide(session, scoped)
    for statement, parameters in page_statements(scoped, sort, limit, after, own, wide=wide):
        reader.read(statement, parameters)
        if reader.is_full:
            break
    return reader.page(order.cursor_after)


def is_one_walk(filters: FileFilters, sort: str) -> bool:
    """Whether a list is one walk along an index that is about as long as its page, whatever the values of its filters are.

    That is so without filters, for one owner, key or bucket in the order of creation, and for one owner in that of names.
    """
    if filters == _ALL:
        return True
    narrowed = sum(value is not None for value in (filters.owner_id, filters.key, filters.bucket))
    if narrowed != 1 or replace(filters, owner_id=None, key=None, bucket=None) != _ALL:
        return False
    return sort.endswith("created") or (filters.owner_id is not None and sort.endswith("name"))


def _order(filters: FileFilters, sort: str) -> Order:
    if sort == RELEVANCE:
        return Order(f"search {filters}", "score", int, descending=True)
    return replace(_SORTS[sort].order, scope=f"files {filters}")


def check_cursor(scope: Scope, filters: FileFilters, sort: str, cursor: str | None) -> None:
    """Refuse a cursor that isn't one of this list.

    Raises:
        InvalidCursor: it is none.
    """
    scoped = in_scope(filters, scope)
    if cursor is not None and scoped is not None:
        _order(scoped, sort).place_in(cursor)


_ANY_STORED = "SELECT EXISTS (SELECT FROM files WHERE {conditions} AND state = 'stored')"


def is_any_stored(session: Session, scope: Scope, filters: FileFilters) -> bool:
    """Whether a stored file is among those that match ``filters``."""
    scoped = in_scope(filters, scope)
    if scoped is None:
        return False
    bound = bound_filters(scoped, own_words_of(session, scoped))
    conditions = " AND ".join(sql for name in bound if (sql := condition(name)))
    values = {name: value for name, value in bound.items() if value is not None}
    return bool(session.scalar(text(_ANY_STORED.format(conditions=conditions)), values))


def page_statements(
    filters: ScopedFilters,
    sort: str,
    limit: int,
    after: Sequence[Any] | None,
    own: OwnWords | None = None,
    *,
    wide: bool = False,
) -> Iterator[tuple[TextClause, dict[str, Any]]]:
    """The statements of a page after the row ``after`` (sort value, id), to be run until there are enough rows.

    There is one statement, or two where the sort value may be missing. `PageReader` binds the remaining parameters.
    """
    bound = bound_filters(filters, own, wide=wide)
    values = {name: value for name, value in bound.items() if value is not None}
    list_of = _ListOf(tuple(bound), sort, limit if is_one_walk(filters, sort) else None)
    position = {} if after is None else {"after": after[0], "after_id": after[1]}
    if sort.endswith("created"):
        position.pop("after", None)
    if not _SORTS[sort].order.nullable:
        yield _statement(list_of, None, bool(position)), values | position
        return
    # Only a stored file has a size: looking for others among the sizes would walk all of them and find none.
    if filters.state not in _WITHOUT_OBJECT and (after is None or after[0] is not None):
        yield _statement(list_of, True, bool(position)), values | position
        position = {}
    position.pop("after", None)
    yield _statement(list_of, False, bool(position)), values | position


class _ListOf(NamedTuple):
    """What the text of a list's statements depends on.

    Attributes:
        names: of its conditions.
        one_walk: how many rows a page has, if the list is one walk. It is planned once for this limit: a plan for whatever
            limit would be one for a tenth of all rows. For other lists the best plan depends on the values, because many
            rows may match, or few.
    """

    names: tuple[str, ...]
    sort: str
    one_walk: int | None


_WALK = "SELECT * FROM files WHERE {conditions} ORDER BY {order_by} LIMIT {limit}"


@lru_cache(maxsize=512)
def _statement(list_of: _ListOf, has_value: bool | None, continues: bool) -> TextClause:
    """One walk under these conditions: of all rows, or of those with (True) or without (False) a sort value."""
    chosen = _SORTS[list_of.sort]
    conditions = [sql for name in list_of.names if (sql := condition(name))]
    if has_value is not None:
        conditions.append(f"{chosen.order.column} IS {'NOT ' if has_value else ''}NULL")
    if continues:
        conditions.append(chosen.after if has_value is not False else chosen.after_id)
    limit = ":limit" if list_of.one_walk is None else str(list_of.one_walk + 1)
    rows = _WALK.format(conditions=" AND ".join(conditions), order_by=chosen.order_by, limit=limit)
    statement = page_statement(_ITEM, chosen.order.place, rows)
    return statement if list_of.one_walk is None else prepared_read(statement)


def search_files(
    session: Session, scope: Scope, filters: FileFilters, bounds: Bounds | None, limit: int, cursor: str | None
) -> Page:
    """A page of the files that match ``filters``, the best first.

    Every match is scored and sorted before the page is cut; with ``bounds``, every candidate: see `find_candidates`.
    Each page looks for them again. So a file that comes may push another one out.

    Raises:
        InvalidCursor: the cursor belongs to another list or other filters.
    """
    scoped = in_scope(filters, scope)
    if scoped is None:
        return NO_ITEMS
    order = _order(scoped, RELEVANCE)
    after = order.place_in(cursor) if cursor else None
    own = own_words_of(session, scoped, with_files=bounds is None)
    bound = bound_filters(scoped, own)
    values = {name: value for name, value in bound.items() if value is not None}
    if after is not None:
        values |= {"after": after[0], "after_id": after[1]}
    candidates = find_candidates(session, scoped, own, bounds) if bounds else None
    if candidates is not None:
        values["candidates"] = candidates.ids
    reader = PageReader(session, limit)
    reader.read(_search_statement(tuple(bound), len(scoped.terms), candidates is not None, after is not None), values)
    page = reader.page(order.cursor_after)
    return page if candidates is None else replace(page, exact=candidates.exact)


_SCORED = """
SELECT * FROM (
    SELECT files.*, {score} AS score FROM {source} WHERE {conditions}) AS scored
{after} ORDER BY score DESC, id DESC LIMIT :limit
"""
_MATCHES = "file_search AS s JOIN files ON files.id = s.file_id"
_CANDIDATES = f"{OF_CANDIDATES} JOIN file_search AS s ON s.file_id = files.id"
_AFTER_SCORE = "WHERE (score, id) < (CAST(:after AS bigint), CAST(:after_id AS uuid))"


def _words(name: str, count: int) -> str:
    """The condition on words where files are joined with theirs."""
    return any_words(range(count)) if name.startswith("terms ") else condition(name)


@lru_cache(maxsize=512)
def _search_statement(names: tuple[str, ...], count: int, of_candidates: bool, continues: bool) -> TextClause:
    conditions = [sql for name in names if not is_of_terms(name) and (sql := condition(name))]
    if not of_candidates:
        conditions += [_words(name, count) for name in names if is_of_terms(name)]
    after = _AFTER_SCORE if continues else ""
    source = _CANDIDATES if of_candidates else _MATCHES
    rows = _SCORED.format(score=score(count), source=source, conditions=" AND ".join(conditions), after=after)
    return page_statement(_ITEM, ("score", "id"), rows)
