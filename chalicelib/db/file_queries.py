"""Reading files: the list, in every order and with every filter, and single files.

A list is one walk along an index from where the last page ended, whatever the page: there is no OFFSET, no count and no
join. Each filter and each order is a piece of SQL of its own; values are always bound. Postgres answers one JSON
document rather than rows: the driver decodes 1,600 values in 4 ms, and the same as JSON in 0.2 ms.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, TextClause, literal_column, text
from sqlalchemy.orm import InstrumentedAttribute, Session

from chalicelib.db.file_filters import FileFilters, bound_filters, condition
from chalicelib.db.models import File
from chalicelib.db.pages import JsonPage, Order, Slice, as_json_page, decode_cursor, encode_cursor
from chalicelib.db.search import allow_typos, matching, score

# A file as a dictionary: JSON's types, with timestamps and ids as text.
FileDocument = dict[str, Any]

_DOCUMENT = """id, bucket, key, version_id, name, size, etag, media_type, detected_media_type, is_mismatch, sha256, state,
    owner_id, session_id, metadata, tags, stored_at, created_at, updated_at"""
# How the bytes are to come, of a file that waits for them, or why they did not come.
_UPLOAD = """(
    SELECT row_to_json(u) FROM (
        SELECT method, size, media_type, sha256, expires_at, problem FROM uploads
        WHERE file_id = files.id AND files.state <> 'stored') AS u) AS upload"""


_WITHOUT_OBJECT = ("pending", "deleted")


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


def _sorts(name: str, column: InstrumentedAttribute[Any], kind: str, nullable: bool = False) -> dict[str, _Sort]:
    def one(direction: str, sign: str) -> _Sort:
        order = Order("files", column, File.id, direction == "DESC", nullable)
        after_id = f"id {sign} CAST(:after_id AS uuid)"
        if column is File.id:
            return _Sort(f"id {direction}", after_id, after_id, order)
        after = f"({column.key}, id) {sign} (CAST(:after AS {kind}), CAST(:after_id AS uuid))"
        return _Sort(f"{column.key} {direction}, id {direction}", after, after_id, order)

    return {name: one("ASC", ">"), f"-{name}": one("DESC", "<")}


_SORTS: dict[str, _Sort] = {
    **_sorts("created", File.id, "uuid"),
    **_sorts("updated", File.updated_at, "timestamptz"),
    **_sorts("name", File.name, "text"),
    **_sorts("size", File.size, "bigint", nullable=True),
}
SORTS = tuple(_SORTS)
RELEVANCE = "relevance"
_SCORE = literal_column("score", BigInteger())

# What a client knows a state of the row by: what clients and S3's events change, then whatever does. Postgres writes a new xmin
# at each change. Of the two parts only the first must match for a change: inspection is nobody's lost update.
_REVISION = """left(md5(row(key, name, session_id, owner_id, metadata, tags, state, version_id)::text), 16)
    || '-' || xmin::text AS revision"""
_ONE_ROW = (
    "SELECT row_to_json(f)::text FROM (SELECT",
    _DOCUMENT,
    ",",
    _UPLOAD,
    ", rank,",
    _REVISION,
    "FROM files WHERE",
)
_IF_OWN = "AND (CAST(:owner_id AS uuid) IS NULL OR owner_id = CAST(:owner_id AS uuid))"
_ONE = text(" ".join((*_ONE_ROW, "id = CAST(:id AS uuid)", _IF_OWN, ") AS f")))
_LOCK_ONE = text(" ".join((*_ONE_ROW, "id = CAST(:id AS uuid)", _IF_OWN, "FOR NO KEY UPDATE) AS f")))
_ONE_AT = text(" ".join((*_ONE_ROW, "key = :key AND bucket = :bucket", _IF_OWN, ") AS f")))
_SEVERAL_ROWS = (
    "SELECT coalesce(json_agg(f), '[]')::text FROM (SELECT",
    _DOCUMENT,
    ",",
    _UPLOAD,
    ",",
    _REVISION,
    "FROM files",
)
_VISIBLE = text(" ".join((
    "SELECT coalesce(json_agg(f), '[]')::text FROM (SELECT", _DOCUMENT, ",", _UPLOAD, ", rank FROM files",
    "WHERE id = ANY(CAST(:ids AS uuid[]))", _IF_OWN, ") AS f",
)))  # fmt: skip
_SEVERAL = text(" ".join((*_SEVERAL_ROWS, "WHERE id = ANY(CAST(:ids AS uuid[]))) AS f")))


def list_files(
    session: Session, filters: FileFilters, sort: str, limit: int, cursor: str | None
) -> Slice[FileDocument]:
    """A page of the files that match ``filters``, in the order ``sort`` (one of `SORTS`); ties go by id.

    Files that come or go while a client pages shift nothing: each page starts after the last row of the one before.

    Raises:
        InvalidCursor: the cursor is not one of this list, these filters and this order.
    """
    if filters.terms:
        allow_typos(session, filters.terms)
    if sort == RELEVANCE:
        return _search(session, filters, limit, cursor)
    order = replace(_SORTS[sort].order, scope=f"files {filters}")
    after = decode_cursor(order, cursor) if cursor else None
    page = JsonPage(limit)
    for statement, parameters in page_statements(filters, sort, after):
        page.read(session, statement, parameters)
        if page.is_cut:
            return Slice(_worded(page.rows), encode_cursor(order, SimpleNamespace(**page.rows[-1])))
    return Slice(_worded(page.rows), None)


def _search(session: Session, filters: FileFilters, limit: int, cursor: str | None) -> Slice[FileDocument]:
    """The best matches first. All that match are scored and sorted before any is left out."""
    order = Order(f"search {filters}", _SCORE, File.id, True)  # type: ignore[arg-type]
    after = decode_cursor(order, cursor) if cursor else None
    bound = bound_filters(filters)
    values = {name: value for name, value in bound.items() if value is not None}
    if after is not None:
        values |= {"after": after[0], "after_id": after[1]}
    statement = _search_statement(tuple(bound), len(filters.terms), after is not None)
    page = JsonPage(limit)
    page.read(session, statement, values)
    cursor = encode_cursor(order, SimpleNamespace(**page.rows[-1])) if page.is_cut else None
    for row in page.rows:
        del row["score"]
    return Slice(_worded(page.rows), cursor)


@lru_cache(maxsize=512)
def _search_statement(names: tuple[str, ...], count: int, continues: bool) -> TextClause:
    conditions = [
        matching(count),
        *(sql for name in names if not name.startswith("terms") and (sql := condition(name))),
    ]
    found = (
        "SELECT",
        _DOCUMENT,
        ",",
        score(count),
        "AS score FROM file_search AS s JOIN files ON files.id = s.file_id",
    )
    place = "WHERE (score, id) < (CAST(:after AS bigint), CAST(:after_id AS uuid))" if continues else ""
    scored = ("(", *found, "WHERE", " AND ".join(conditions), ") AS scored", place)
    page = ("SELECT * FROM", *scored, "ORDER BY score DESC, id DESC LIMIT :limit")
    return text(as_json_page(" ".join(page)))


def page_statements(
    filters: FileFilters, sort: str, after: Sequence[Any] | None
) -> Iterator[tuple[TextClause, dict[str, Any]]]:
    """The statements of a page behind the row ``after`` (sort value, id), to be run until there are enough rows.

    One statement, or two where the sort value may be missing. ``limit`` is left to bind.
    """
    bound = bound_filters(filters)
    names, values = tuple(bound), {name: value for name, value in bound.items() if value is not None}
    position = {} if after is None else {"after": after[0], "after_id": after[1]}
    if sort.endswith("created"):
        position.pop("after", None)
    if not _SORTS[sort].order.nullable:
        yield _statement(names, sort, None, bool(position)), values | position
        return
    # Only a stored file has a size: looking for others among the sizes would walk all of them and find none.
    if filters.state not in _WITHOUT_OBJECT and (after is None or after[0] is not None):
        yield _statement(names, sort, True, bool(position)), values | position
        position = {}
    position.pop("after", None)
    yield _statement(names, sort, False, bool(position)), values | position


def find_file(session: Session, file_id: UUID, owner_id: UUID | None, lock: bool = False) -> FileDocument | None:
    """One file in whatever state, with the ``rank`` of its current version; None if there is none.

    ``owner_id``: only if it is this user's. ``lock``: keep others from changing the row until the transaction ends.
    """
    found = session.execute(_LOCK_ONE if lock else _ONE, {"id": file_id, "owner_id": owner_id}).scalar()
    return None if found is None else _document(found)


def find_file_at(session: Session, bucket: str, key: str, owner_id: UUID | None) -> FileDocument | None:
    """The file at a place, in whatever state; None if there is none. ``owner_id`` as in `find_file`."""
    found = session.execute(_ONE_AT, {"bucket": bucket, "key": key, "owner_id": owner_id}).scalar()
    return None if found is None else _document(found)


def find_visible(session: Session, file_ids: Sequence[UUID], owner_id: UUID | None) -> list[FileDocument]:
    """Those of these files that there are, in no order; ``owner_id`` as in `find_file`."""
    found = session.execute(_VISIBLE, {"ids": list(file_ids), "owner_id": owner_id}).scalar_one()
    return list(json.loads(found))


def find_files(session: Session, file_ids: Sequence[UUID]) -> list[FileDocument]:
    """These files, in this order."""
    places = {str(file_id): place for place, file_id in enumerate(file_ids)}
    found = json.loads(session.execute(_SEVERAL, {"ids": list(file_ids)}).scalar_one())
    return sorted(found, key=lambda file: places[file["id"]])


@lru_cache(maxsize=512)
def _statement(names: tuple[str, ...], sort: str, has_value: bool | None, continues: bool) -> TextClause:
    """One walk under these conditions: of all rows, or of those with (True) or without (False) a sort value."""
    chosen = _SORTS[sort]
    conditions = [sql for name in names if (sql := condition(name))]
    if has_value is not None:
        conditions.append(f"{chosen.order.column.key} IS {'NOT ' if has_value else ''}NULL")
    if continues:
        conditions.append(chosen.after if has_value is not False else chosen.after_id)
    walk = ("SELECT", _DOCUMENT, "FROM files WHERE", " AND ".join(conditions), "ORDER BY", chosen.order_by)
    return text(as_json_page(" ".join((*walk, "LIMIT :limit"))))


def _worded(rows: list[FileDocument]) -> list[FileDocument]:
    """``rows`` with their times as the API writes them: in UTC, with six digits of a second or none."""
    for row in rows:
        for name in ("stored_at", "created_at", "updated_at"):
            if row[name] is not None:
                moment, _, fraction = row[name].removesuffix("+00:00").partition(".")
                row[name] = f"{moment}.{fraction:0<6}Z" if fraction else f"{moment}Z"
    return rows


def _document(found: str) -> FileDocument:
    document: FileDocument = json.loads(found)
    return document
