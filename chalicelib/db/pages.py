"""Keyset pagination: the next page starts after the last row of this one, however deep, in one step into an index."""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Generic, TypeVar
from uuid import UUID
from zlib import crc32

from sqlalchemy import Select, TextClause, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from chalicelib.db.cursors import decode_values, encode_values
from chalicelib.errors import InvalidCursor

RowT = TypeVar("RowT")
_INT64 = 1 << 63


@dataclass(frozen=True, slots=True)
class Slice(Generic[RowT]):
    """Some rows of a list, in order, and where the next ones start."""

    items: Sequence[RowT]
    next_cursor: str | None


# A Lambda answers with 6 MB at most, in JSON around the JSON of the page: there a letter beyond ASCII may take three times its
# bytes, a quotation mark twice.
MOST_BYTES = 2_000_000


def as_json_page(rows: str) -> str:
    """The statement that answers ``rows`` (a statement, too, whose rows are in order) as one JSON value, for `JsonPage`.

    OFFSET 0 has each row written once: Postgres would otherwise do it for its length, and again for its text. A window
    without an order takes them as they come.
    """
    return " ".join((
        "SELECT json_build_object('found', count(*), 'bytes', coalesce(max(p.bytes) FILTER (WHERE",  _FITS, "), 0),",
        "'rows', coalesce(json_agg(p.row) FILTER (WHERE", _FITS, "), '[]'))::text",
        "FROM (SELECT w.row, row_number() OVER () AS number,",
        "sum(octet_length(w.row::text)) OVER (ROWS UNBOUNDED PRECEDING) AS bytes",
        "FROM (SELECT row_to_json(f) AS row FROM (", rows, ") AS f OFFSET 0) AS w) AS p",
    ))  # fmt: skip


_FITS = "p.bytes <= CAST(:bytes_left AS bigint) OR p.number <= CAST(:at_least AS int)"


class JsonPage:
    """The rows of a page, from one or several statements of `as_json_page`: at most ``limit``, and `MOST_BYTES` of them, but at
    least one if there is one. ``is_cut``: there are further rows, so that the page ends here.
    """

    def __init__(self, limit: int) -> None:
        self.rows: list[dict[str, Any]] = []
        self.is_cut = False
        self._limit, self._bytes_left = limit, MOST_BYTES

    def read(self, session: Session, statement: TextClause, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add what a statement answers; returns the rows that it added."""
        room = self._limit - len(self.rows)
        bound = {"limit": room + 1, "bytes_left": self._bytes_left, "at_least": 0 if self.rows else 1}
        answer = json.loads(session.execute(statement, {**parameters, **bound}).scalar_one())
        added: list[dict[str, Any]] = answer["rows"][:room]
        self.rows += added
        self.is_cut = answer["found"] > len(added)
        self._bytes_left -= int(answer["bytes"])
        return added


@dataclass(frozen=True, slots=True)
class Order:
    """Order by ``column``, then ``id_column``; both ascending or both descending, so that one index serves both.

    ``column`` may be the id itself. A ``nullable`` one may be null in cursors; `fetch_slice` can't order by it, since a
    row comparison with a null is neither true nor false.
    ``scope`` says which list this is (resource, sort, filters): cursors of another list are refused.
    """

    scope: str
    column: InstrumentedAttribute[Any]
    id_column: InstrumentedAttribute[UUID]
    descending: bool = False
    nullable: bool = False


def fetch_slice(
    session: Session,
    statement: Select[Any],
    order: Order,
    limit: int,
    cursor: str | None,
    weigh: Callable[[Any], int] = lambda _: 0,
) -> Slice[Any]:
    """The rows of ``statement`` after ``cursor``, at most ``limit``, and `MOST_BYTES` by what each weighs.

    ``statement`` selects one entity, or columns among which are the order's two under their own names.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    after = decode_cursor(order, cursor) if cursor else None
    statement = page_after(statement, order, after).limit(limit + 1)
    result = session.execute(statement)
    rows = list(result.scalars() if len(statement.column_descriptions) == 1 else result)
    kept = rows[: min(limit, _that_fit(map(weigh, rows)))]
    return Slice(kept, encode_cursor(order, kept[-1]) if len(rows) > len(kept) else None)


def _that_fit(sizes: Iterable[int]) -> int:
    """How many of the first have `MOST_BYTES` together; at least one."""
    sums = list(accumulate(sizes))
    return max(1, bisect_right(sums, MOST_BYTES))


def page_after(statement: Select[Any], order: Order, after: list[Any] | None) -> Select[Any]:
    """``statement`` ordered, and cut to the rows after the one whose sort value and id are ``after``."""
    columns = [order.id_column] if order.column is order.id_column else [order.column, order.id_column]
    if after is not None:
        mine, theirs = tuple_(*columns), tuple_(*map(_typed, columns, after[-len(columns) :]))
        statement = statement.where(mine < theirs if order.descending else mine > theirs)
    return statement.order_by(*(column.desc() if order.descending else column.asc() for column in columns))


def _typed(column: InstrumentedAttribute[Any], value: Any) -> Any:
    return literal(value, column.type)


def encode_cursor(order: Order, row: Any) -> str:
    """An opaque cursor that continues after ``row``."""
    values = [_plain(getattr(row, column.key)) for column in (order.column, order.id_column)]
    return encode_values(_fingerprint(order), *values)


def decode_cursor(order: Order, cursor: str) -> list[Any]:
    """The sort value and the id in a cursor of this list.

    Raises:
        InvalidCursor: it is none, or one of another list. Whatever a client makes up ends here.
    """
    value, identifier = decode_values(cursor, _fingerprint(order), 2)
    try:
        return [_parse(value, order.column.type.python_type, order.nullable), _parse(identifier, UUID, False)]
    except (ValueError, OverflowError):
        raise InvalidCursor from None


def _fingerprint(order: Order) -> int:
    return crc32(f"{order.scope} {order.column.key} {order.descending}".encode())


def _plain(value: Any) -> str | int | None:
    if value is None or isinstance(value, int):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _parse(value: Any, kind: type, nullable: bool) -> Any:
    if value is None and nullable:
        return None
    if kind is int and type(value) is int and -_INT64 <= value < _INT64:
        return value
    if not isinstance(value, str):
        raise InvalidCursor
    if kind is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise InvalidCursor
        return moment.astimezone(UTC)
    if kind is UUID:
        return UUID(value)
    if kind is str:
        return value
    raise InvalidCursor
