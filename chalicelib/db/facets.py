"""Counting files by what they have in common. Each file is read once for all facets."""

from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from chalicelib.db.bounds import Bounds
from chalicelib.db.candidates import OF_CANDIDATES, find_candidates
from chalicelib.db.deadlines import attempt
from chalicelib.db.file_filters import (
    FileFilters,
    bound_filters,
    condition,
    in_scope,
    is_in_order_of_creation,
    is_of_terms,
    newest_files,
    own_words_of,
)
from chalicelib.db.scope import Scope

_MAX_VALUES = 100
_VALUES = {
    "type": "media_type",
    "session": "session_id",
    "tag": "tag",
    "month": "to_char(date_trunc('month', created_at AT TIME ZONE 'UTC'), 'YYYY-MM')",
    "state": "state",
}
_COLUMNS = {"type": "media_type", "session": "session_id", "tag": "tags", "month": "created_at", "state": "state"}
_FROM = {"tag": "counted CROSS JOIN LATERAL unnest(tags) AS tag"}


def count_files(session: Session, scope: Scope, filters: FileFilters, by: Sequence[str], bounds: Bounds | None) -> str:
    """The values of each facet, with how many ``files`` and ``bytes`` have them: the text of a JSON object.

    ``value`` is null for files that have none. There are at most a hundred values, the most frequent first; months come
    the latest first. ``counted`` says how many files these are, and ``exact`` whether they are all that match. With
    ``bounds`` they may be fewer: the newest ones, if an index hands out matches by creation. A search counts its
    candidates. If finding matches takes too long, only the newest files are looked at.
    """
    scoped = in_scope(filters, scope)
    if scoped is None:
        return '{"exact":true,"counted":0' + "".join(f',"{facet}":[]' for facet in by) + "}"
    own = own_words_of(session, scoped, with_files=bounds is None)
    bound = bound_filters(scoped, own)
    names, facets = tuple(bound), tuple(by)
    values = {name: value for name, value in bound.items() if value is not None} | {"values": _MAX_VALUES}
    if bounds is None:
        return str(session.scalar(_statement(_ALL, names, facets), values))
    if scoped.terms:
        candidates = find_candidates(session, scoped, own, bounds)
        return str(
            session.scalar(
                _statement(_CANDIDATES, names, facets),
                values | {"candidates": candidates.ids, "exact": candidates.exact},
            )
        )
    values["most"] = bounds.counted
    first = _NEWEST_MATCHES if is_in_order_of_creation(scoped) else _SOME_MATCHES
    if found := attempt(session, bounds.seconds, _statement(first, names, facets), values):
        return str(found[0])
    statement = _statement(_AMONG_NEWEST, names, facets, newest_files(scoped))
    return str(session.scalar(statement, values | {"looked_at": bounds.counted + 1}))


_COUNTS = """
WITH {counted}
SELECT json_build_object('exact', {exact}, 'counted', (SELECT count(*) FROM counted), {facets})::text
"""
_FACET = """'{name}', (
    SELECT coalesce(json_agg(f), '[]') FROM (
        SELECT {value} AS value, count(*) AS files, coalesce(sum(size), 0) AS bytes
        FROM {source} GROUP BY 1 ORDER BY {order} LIMIT :values) AS f)"""

# Which files are counted, and whether they are all that match.
_MATCHES = "counted AS MATERIALIZED (SELECT {columns} FROM files WHERE {conditions}%s)"
_ALL = _MATCHES % "", "true"
_NO_MORE = "(SELECT count(*) <= CAST(:most AS int) FROM counted)"
_SOME_MATCHES = _MATCHES % " LIMIT CAST(:most AS int) + 1", _NO_MORE
_NEWEST_MATCHES = _MATCHES % " ORDER BY id DESC LIMIT CAST(:most AS int) + 1", _NO_MORE
_CANDIDATES = (
    f"counted AS MATERIALIZED (SELECT {{columns}} FROM {OF_CANDIDATES} WHERE {{conditions}})",  # noqa: S608 - no values
    "CAST(:exact AS boolean)",
)
_AMONG_NEWEST = (
    """newest AS MATERIALIZED (SELECT * FROM {newest}),
    counted AS MATERIALIZED (SELECT {columns} FROM newest WHERE {conditions})""",
    "(SELECT count(*) <= CAST(:most AS int) FROM newest)",
)


@lru_cache(maxsize=256)
def _statement(which: tuple[str, str], names: tuple[str, ...], by: tuple[str, ...], newest: str = "") -> TextClause:
    counted, exact = which
    is_of_candidates = which is _CANDIDATES  # they have the words; the other filters are cheap
    conditions = [sql for name in names if not (is_of_candidates and is_of_terms(name)) and (sql := condition(name))]
    counted = counted.format(
        columns=", ".join(["size", *(_COLUMNS[facet] for facet in by)]),
        conditions=" AND ".join(conditions),
        newest=newest,
    )
    return text(_COUNTS.format(counted=counted, exact=exact, facets=", ".join(map(_facet, by))))


def _facet(name: str) -> str:
    order = "value DESC" if name == "month" else "files DESC, value"
    return _FACET.format(name=name, value=_VALUES[name], source=_FROM.get(name, "counted"), order=order)
