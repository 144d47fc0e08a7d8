"""The files that a search ranks: everything that matches or, where that is too much, the newest and some others.

No index bounds a search by itself. That of words collects every file with a word before it hands out the first one, and
can't be stopped at it: 100,000 files take it 60 ms. That of trigrams has each file compared that has enough of them,
which takes 45 µs. So words that many files have are not looked up, all else gets a short time and a number of matches,
and where that isn't enough, the newest files are read, whatever they hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from time import monotonic
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.orm import Session

from chalicelib.db.bounds import Bounds
from chalicelib.db.deadlines import attempt
from chalicelib.db.engine import acting_for
from chalicelib.db.file_filters import (
    ScopedFilters,
    bound_filters,
    condition,
    is_in_order_of_creation,
    is_of_terms,
    newest_files,
)
from chalicelib.db.own_words import OwnWords, begin_own_words, bound_own_words, with_known_errors
from chalicelib.db.scope import EVERYONE
from chalicelib.db.search import allow_typos, any_words, any_words_compared, whole_words

# The candidates that whoever asks may see. They are looked up one by one: for `id = ANY(…)`, the planner may read all files of a
# member instead, which it believes to be few. OFFSET 0 keeps it from asking other indexes for what the candidates have anyway.
OF_CANDIDATES = """(SELECT DISTINCT unnest(CAST(:candidates AS uuid[])) AS file_id) AS candidate
CROSS JOIN LATERAL (SELECT * FROM files WHERE id = candidate.file_id OFFSET 0) AS files"""

# Words that more files have are common. The planner knows words, but not how many files have the beginning of one.
_COMMON = 50_000
_FREQUENCIES = text("""
SELECT t.term FROM unnest(CAST(:terms AS text[])) AS t (term), pg_class AS c
WHERE c.oid = CAST('file_search' AS regclass) AND c.reltuples * (
    SELECT sum(w.frequency) FROM pg_stats AS s,
        unnest(CAST(CAST(s.most_common_elems AS text) AS text[]), s.most_common_elem_freqs) AS w (word, frequency)
    WHERE s.schemaname = CAST(CAST(c.relnamespace AS regnamespace) AS text) AND s.tablename = c.relname
        AND s.attname = 'document' AND w.word ^@ t.term) > :common
""")
_COUNT = "SELECT count(*) FROM (SELECT FROM {newest}) AS counted"
_IDS = """
SELECT count(*) AS files, array_agg(file_id)::text AS ids FROM (
    SELECT s.file_id FROM {source} WHERE {conditions} LIMIT CAST(:most AS int) + 1) AS found
"""
# OFFSET 0 has the planner ask the indexes for these words and no others. Where files are read in turn, it keeps it from
# asking for any.
_BY_WORDS = "(SELECT * FROM file_search AS s WHERE {words} OFFSET 0) AS s JOIN files ON files.id = s.file_id"
_BY_FILES = "{files} AS files CROSS JOIN LATERAL (SELECT * FROM file_search WHERE file_id = files.id OFFSET 0) AS s"
_OWN_NEWEST = _BY_FILES.format(files="(SELECT * FROM {newest})")
_ALL_NEWEST = """
(SELECT * FROM file_search ORDER BY file_id DESC LIMIT CAST(:looked_at AS int)) AS s
CROSS JOIN LATERAL (SELECT * FROM files WHERE id = s.file_id OFFSET 0) AS files"""

# How many files are read for each one that may be ranked. Where only words decide, reading them one after the other is
# faster than looking up each file's. To compare similar words takes many times as long.
_READ_OF_ALL, _READ_OF_SOME, _COMPARED = 40, 10, 0.25


@dataclass(frozen=True, slots=True)
class Candidates:
    """Ids of files that match, as the text of an array. ``exact``: there are no others that match."""

    ids: str
    exact: bool


def find_candidates(session: Session, filters: ScopedFilters, own: OwnWords | None, bounds: Bounds) -> Candidates:
    """The files that a search for ``filters.terms`` ranks.

    Among the files of one owner, words and words with an error are found by an index of their own. Else, where there are
    few files to search, each is compared or, if they are more, read. Similar words are then looked for
    only if few files have the words themselves.

    They are looked for in the tables themselves: the view would look up each file twice. So whoever ranks or counts these files
    acts for the caller again, and finds only those that the caller may see.
    """
    with acting_for(session, EVERYONE):
        search = _Search(session, filters, own, bounds)
        return _find(search, bounds) if own is None else _find_own(search, bounds)


def _find_own(search: "_Search", bounds: Bounds) -> Candidates:
    words = search.found(similar=False)
    if words is None or words.is_more:
        return Candidates(_joined(words, search.read()), exact=False)
    similar = search.found_with_errors()
    if similar is None:
        return Candidates(_joined(words, search.compared(int(bounds.ranked * _COMPARED))), exact=False)
    return Candidates(_joined(words, similar), exact=not similar.is_more)


def _find(search: "_Search", bounds: Bounds) -> Candidates:
    files = search.files()
    if files <= bounds.ranked:
        return Candidates(search.compared(bounds.ranked).ids, exact=True)
    are_few = files <= bounds.ranked * _READ_OF_SOME
    words = search.read() if are_few else search.found(similar=False)
    if words is None or words.is_more:
        return Candidates(_joined(words, None if are_few else search.read()), exact=False)
    similar = search.found(similar=True)
    if similar is None:
        return Candidates(_joined(words, search.compared(int(bounds.ranked * _COMPARED))), exact=False)
    return Candidates(_joined(words, similar), exact=not similar.is_more)


@dataclass(frozen=True, slots=True)
class _Found:
    ids: str
    is_more: bool


def _joined(*found: _Found | None) -> str:
    return "{" + ",".join(one.ids[1:-1] for one in found if one is not None and one.ids != _NONE) + "}"


_NONE = "{}"


class _Search:
    """The statements of one search."""

    def __init__(self, session: Session, filters: ScopedFilters, own: OwnWords | None, bounds: Bounds) -> None:
        bound = bound_filters(filters, own)
        self._session, self._filters, self._own, self._ranked = session, filters, own, bounds.ranked
        self._names, self._newest = tuple(bound), newest_files(filters)
        self._values = {name: value for name, value in bound.items() if value is not None} | {"most": bounds.ranked}
        self._every = range(len(filters.terms))
        self._is_plain = is_in_order_of_creation(replace(filters, terms=()))
        self._seconds = bounds.seconds

    def files(self) -> int:
        """How many files there are to search; at most one more than are worth reading all."""
        values = self._values | {"looked_at": self._ranked * _READ_OF_SOME + 1}
        return int(self._session.execute(text(_COUNT.format(newest=self._newest)), values).scalar_one())

    def found(self, similar: bool) -> _Found | None:
        """Matches by index, with similar words or without; None if that takes too long. All calls share the time there is."""
        others = [number for number in self._every if number not in self._rare]
        if self._rare:
            source = _BY_WORDS.format(words=self._words(self._rare, similar))
        elif self._is_plain:
            return None  # nothing to look up
        else:
            source = _BY_FILES.format(files="files")
        words = self._words(others, similar, compared=True)
        start = monotonic()
        row = attempt(self._session, self._seconds, _statement(source, words, self._names), self._values)
        self._seconds -= monotonic() - start
        return None if row is None else self._result(row)

    def _words(self, terms: Sequence[int], similar: bool, compared: bool = False) -> str:
        """The condition that a file has these terms; ``compared``: in a way that no index serves."""
        if self._own is not None:
            return begin_own_words(terms, terms if compared else ())
        if not similar:
            return whole_words(terms)
        return any_words_compared(terms) if compared else any_words(terms)

    def found_with_errors(self) -> _Found | None:
        """The same among one owner's files, with words that have an error."""
        assert self._own is not None
        start = monotonic()
        own = with_known_errors(self._session, self._own, self._filters.terms, self._seconds)
        self._seconds -= monotonic() - start
        if own is None:
            return None
        if not own.with_errors:
            return _Found(_NONE, is_more=False)
        self._values |= bound_own_words(own, len(self._filters.terms))
        return self.found(similar=True)

    def read(self) -> _Found:
        """Those of the newest files that have the words."""
        is_of_all = self._is_plain and self._filters.owner_id is None and self._filters.bucket is None
        source = _ALL_NEWEST if is_of_all else _OWN_NEWEST.format(newest=self._newest)
        looked_at = self._ranked * (_READ_OF_ALL if is_of_all else _READ_OF_SOME)
        return self._among(source, whole_words(self._every), looked_at)

    def compared(self, looked_at: int) -> _Found:
        """Those of the newest files that have similar words."""
        if self._own is not None:
            allow_typos(self._session, self._filters.terms)
        return self._among(_OWN_NEWEST.format(newest=self._newest), any_words_compared(self._every), looked_at)

    def _among(self, source: str, words: str, looked_at: int) -> _Found:
        values = self._values | {"looked_at": looked_at}
        return self._result(self._session.execute(_statement(source, words, self._names), values).one())

    def _result(self, row: Row[Any]) -> _Found:
        return _Found(row.ids or _NONE, row.files > self._ranked)

    @cached_property
    def _rare(self) -> Sequence[int]:
        """The numbers of the terms that begin no common word."""
        if self._own is not None:
            return [number for number in self._every if number not in self._own.common]
        common = self._session.scalars(_FREQUENCIES, {"terms": list(self._filters.terms), "common": _COMMON}).all()
        return [number for number in self._every if self._filters.terms[number] not in common]


@lru_cache(maxsize=512)
def _statement(source: str, words: str, names: tuple[str, ...]) -> TextClause:
    conditions = [words] if words else []
    conditions += [sql for name in names if not is_of_terms(name) and (sql := condition(name))]
    return text(_IDS.format(source=source, conditions=" AND ".join(conditions)))
