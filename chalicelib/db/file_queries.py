"""Reading files: the list, in every order and with every filter, and single files.

A list is one walk along an index from where the last page ended, whatever the page: there is no OFFSET, no count and no
join. Each filter and each order is a piece of SQL of its own; values are always bound. Postgres answers one JSON
document rather than rows: the driver decodes 1,600 values in 4 ms, and the same as JSON in 0.2 ms.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.orm import InstrumentedAttribute, Session

from chalicelib.db.models import File
from chalicelib.db.pages import Order, Slice, decode_cursor, encode_cursor
from chalicelib.ids import first_uuid7

# A file as a dictionary: JSON's types, with timestamps and ids as text.
FileDocument = dict[str, Any]

_DOCUMENT = """id, bucket, key, version_id, name, size, etag, media_type, detected_media_type, is_mismatch, sha256, state,
    owner_id, session_id, metadata, tags, stored_at, created_at, updated_at"""
# How the bytes are to come, of a file that waits for them, or why they did not come.
_UPLOAD = """(
    SELECT row_to_json(u) FROM (
        SELECT method, size, media_type, sha256, expires_at, problem FROM uploads
        WHERE file_id = files.id AND files.state <> 'stored') AS u) AS upload"""


@dataclass(frozen=True, slots=True)
class FileFilters:
    """Which files. None: any.

    Attributes:
        owner_id, session_id, bucket, key: exactly this one.
        prefix: keys that start so, byte by byte.
        state: ``pending``, ``stored``, ``deleted``, ``any``; None: all but deleted ones.
        media_type: exactly this one, or ``image/*`` for a whole family.
        min_size, max_size: bytes, both inclusive. Files whose size isn't known don't match.
        created_after, created_before: half open: from ``after`` on, until before ``before``; to the millisecond.
        updated_after, updated_before: the same, to the microsecond.
    """

    owner_id: UUID | None = None
    session_id: str | None = None
    bucket: str | None = None
    key: str | None = None
    prefix: str | None = None
    state: str | None = None
    media_type: str | None = None
    min_size: int | None = None
    max_size: int | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None


# `^@` is "starts with": on a column of collation "C" the planner makes an index range of it.
_CONDITIONS = {
    "owner_id": "owner_id = CAST(:owner_id AS uuid)",
    "session_id": "session_id = :session_id",
    "bucket": "bucket = :bucket",
    "key": "key = :key",
    "prefix": "key ^@ :prefix",
    "media_type": "media_type = :media_type",
    "media_family": "media_type ^@ :media_family",
    "min_size": "size >= CAST(:min_size AS bigint)",
    "max_size": "size <= CAST(:max_size AS bigint)",
    # Ids are made of the time of creation, so a range of times is a range of ids, and walks the primary key.
    "created_after": "id >= CAST(:created_after AS uuid)",
    "created_before": "id < CAST(:created_before AS uuid)",
    "updated_after": "updated_at >= CAST(:updated_after AS timestamptz)",
    "updated_before": "updated_at < CAST(:updated_before AS timestamptz)",
    # Literals, so that the partial index on rare states is seen to fit, whatever the driver does with parameters.
    "state pending": "state = 'pending'",
    "state stored": "state = 'stored'",
    "state deleted": "state = 'deleted'",
    "state any": "true",
    "not deleted": "state <> 'deleted'",
}


_WITHOUT_OBJECT = ("pending", "deleted")
_PLAIN = (
    "owner_id",
    "session_id",
    "bucket",
    "key",
    "prefix",
    "min_size",
    "max_size",
    "updated_after",
    "updated_before",
)


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

_ONE_ROW = ("SELECT row_to_json(f)::text FROM (SELECT", _DOCUMENT, ",", _UPLOAD, ", rank FROM files WHERE")
_IF_OWN = "AND (CAST(:owner_id AS uuid) IS NULL OR owner_id = CAST(:owner_id AS uuid))"
_ONE = text(" ".join((*_ONE_ROW, "id = CAST(:id AS uuid)", _IF_OWN, ") AS f")))
_LOCK_ONE = text(" ".join((*_ONE_ROW, "id = CAST(:id AS uuid)", _IF_OWN, "FOR UPDATE) AS f")))
_ONE_AT = text(" ".join((*_ONE_ROW, "key = :key AND bucket = :bucket", _IF_OWN, ") AS f")))
_SEVERAL_ROWS = ("SELECT coalesce(json_agg(f), '[]')::text FROM (SELECT", _DOCUMENT, ",", _UPLOAD, "FROM files")
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
    order = replace(_SORTS[sort].order, scope=f"files {filters}")
    after = decode_cursor(order, cursor) if cursor else None
    rows: list[FileDocument] = []
    for statement, parameters in page_statements(filters, sort, after):
        rows += json.loads(session.execute(statement, parameters | {"limit": limit + 1 - len(rows)}).scalar_one())
        if len(rows) > limit:
            last = SimpleNamespace(**rows[limit - 1])
            return Slice(_worded(rows[:limit]), encode_cursor(order, last))
    return Slice(_worded(rows), None)


def page_statements(
    filters: FileFilters, sort: str, after: Sequence[Any] | None
) -> Iterator[tuple[TextClause, dict[str, Any]]]:
    """The statements of a page behind the row ``after`` (sort value, id), to be run until there are enough rows.

    One statement, or two where the sort value may be missing. ``limit`` is left to bind.
    """
    bound = _bound(filters)
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


def _bound(filters: FileFilters) -> dict[str, Any]:
    """Names of the conditions that ``filters`` ask for, with the values that they bind."""
    bound: dict[str, Any] = {name: value for name in _PLAIN if (value := getattr(filters, name)) is not None}
    for name in ("created_after", "created_before"):
        if moment := getattr(filters, name):
            bound[name] = first_uuid7(moment)
    if filters.media_type is not None:
        is_family = filters.media_type.endswith("/*")
        bound["media_family" if is_family else "media_type"] = filters.media_type.removesuffix("*")
    bound["not deleted" if filters.state is None else f"state {filters.state}"] = None
    return bound


@lru_cache(maxsize=512)
def _statement(names: tuple[str, ...], sort: str, has_value: bool | None, continues: bool) -> TextClause:
    """One walk under these conditions: of all rows, or of those with (True) or without (False) a sort value."""
    chosen = _SORTS[sort]
    conditions = [_CONDITIONS[name] for name in names]
    if has_value is not None:
        conditions.append(f"{chosen.order.column.key} IS {'NOT ' if has_value else ''}NULL")
    if continues:
        conditions.append(chosen.after if has_value is not False else chosen.after_id)
    walk = ("SELECT", _DOCUMENT, "FROM files WHERE", " AND ".join(conditions), "ORDER BY", chosen.order_by)
    return text(" ".join(("SELECT coalesce(json_agg(f), '[]')::text FROM (", *walk, "LIMIT :limit) AS f")))


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
