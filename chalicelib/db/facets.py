"""Counting files by what they have in common. Every matching file is read, once for all facets: a count can't stop early."""

from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from chalicelib.db.file_filters import FileFilters, bound_filters, condition, in_scope
from chalicelib.db.scope import Scope
from chalicelib.db.search import allow_typos

_MAX_VALUES = 100
_VALUES = {
    "type": "media_type",
    "session": "session_id",
    "tag": "tag",
    "month": "to_char(date_trunc('month', created_at AT TIME ZONE 'UTC'), 'YYYY-MM')",
    "state": "state",
}
_COLUMNS = {"type": "media_type", "session": "session_id", "tag": "tags", "month": "created_at", "state": "state"}
_FROM = {"tag": "matching CROSS JOIN LATERAL unnest(tags) AS tag"}


def count_files(session: Session, scope: Scope, filters: FileFilters, by: Sequence[str]) -> str:
    """The values of each facet, with how many ``files`` and ``bytes`` have them: the text of a JSON object.

    ``value`` is null for files that have none. There are at most a hundred values, the most frequent first; months come
    the latest first.
    """
    scoped = in_scope(filters, scope)
    if scoped is None:
        return "{" + ",".join(f'"{facet}":[]' for facet in by) + "}"
    if scoped.terms:
        allow_typos(session, scoped.terms)
    bound = bound_filters(scoped)
    values = {name: value for name, value in bound.items() if value is not None} | {"limit": _MAX_VALUES}
    return str(session.scalar(_statement(tuple(bound), tuple(by)), values))


_COUNTS = """
WITH matching AS MATERIALIZED (SELECT {columns} FROM files WHERE {conditions})
SELECT json_build_object({facets})::text
"""
_FACET = """'{name}', (
    SELECT coalesce(json_agg(f), '[]') FROM (
        SELECT {value} AS value, count(*) AS files, coalesce(sum(size), 0) AS bytes
        FROM {source} GROUP BY 1 ORDER BY {order} LIMIT :limit) AS f)"""


@lru_cache(maxsize=256)
def _statement(names: tuple[str, ...], by: tuple[str, ...]) -> TextClause:
    return text(
        _COUNTS.format(
            columns=", ".join(["size", *(_COLUMNS[facet] for facet in by)]),
            conditions=" AND ".join(sql for name in names if (sql := condition(name))),
            facets=", ".join(map(_facet, by)),
        )
    )


def _facet(name: str) -> str:
    order = "value DESC" if name == "month" else "files DESC, value"
    return _FACET.format(name=name, value=_VALUES[name], source=_FROM.get(name, "matching"), order=order)
