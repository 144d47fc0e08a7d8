"""The files that a search ranks: everything that matches or, where that is too much, the newest and some others.

No index bounds a search by itself. That of words collects every file with a word before it hands out the first one, and
can't be stopped at it: 1,000,000 files take it 50 ms. That of trigrams has each file compared that has enough of them,
which takes 45 µs. So words that many files have are not looked up, all else gets a short time and a number of matches,
and where that isn't enough, the newest files are read, whatever they hold.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from time import monotonic

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from chalicelib.db.bounds import Bounds
from chalicelib.db.deadlines import attempt
from chalicelib.db.file_filters import FileFilters, bound_filters, condition, newest_files
from chalicelib.db.search import any_words, whole_words

# Words that more files have are common. The planner knows them, but not how many files have the beginning of one.
_COMMON = 200_000
_FREQUENCIES = text("""
SELECT t.term FROM unnest(CAST(:terms AS text[])) AS t (term), pg_class AS c
WHERE c.oid = CAST('file_search' AS regclass) AND c.reltuples * (
    SELECT sum(w.frequency) FROM pg_stats AS s,
        unnest(CAST(CAST(s.most_common_elems AS text) AS text[]), s.most_common_elem_freqs) AS w (word, frequency)
    WHERE s.schemaname = CAST(CAST(c.relnamespace AS regnamespace) AS text) AND s.tablename = c.relname
        AND s.attname = 'document' AND w.word ^@ t.term) > :common
""")
_MORE = "SELECT count(*) FROM (SELECT FROM {newest}) AS more"
_IDS = """
SELECT count(*) AS files, array_agg(file_id)::text AS ids FROM (
    SELECT s.file_id FROM {source} WHERE {conditions} LIMIT CAST(:most AS int) + 1) AS found
"""
# OFFSET 0 has the planner ask the index for these words and no others.
_BY_WORDS = "(SELECT * FROM file_search AS s WHERE {rare} OFFSET 0) AS s JOIN files ON files.id = s.file_id"
# And here it keeps it from asking for any.
_BY_FILES = "{files} AS files CROSS JOIN LATERAL (SELECT * FROM file_search WHERE file_id = files.id OFFSET 0) AS s"
_NEWEST_FILES = "(SELECT * FROM {newest})"


@dataclass(frozen=True, slots=True)
class Candidates:
    """Ids of files that match, as the text of an array. ``exact``: there are no others that match."""

    ids: str
    exact: bool


def find_candidates(session: Session, filters: FileFilters, bounds: Bounds) -> Candidates:
    """The files that a search for ``filters.terms`` ranks.

    Where there are few files to search, each is read. Elsewhere, similar words are looked for only if few files have the
    words themselves.
    """
    search = _Search(session, filters, bounds)
    if search.is_small():
        return Candidates(search.among(bounds.ranked, similar=True), exact=True)
    words = search.found(similar=False)
    if words is None or words.is_more:
        newest = search.among(_NEWEST * bounds.ranked, similar=False)
        return Candidates(_joined(newest, words.ids if words else _NONE), exact=False)
    similar = search.found(similar=True)
    if similar is None:
        newest = search.among(bounds.ranked // _NEWEST, similar=True)
        return Candidates(_joined(words.ids, newest), exact=False)
    return Candidates(_joined(words.ids, similar.ids), exact=not similar.is_more)


# Reading as many times the files that are ranked takes about as long as ranking them. Comparing similar words takes many
# times as long as comparing words.
_NEWEST = 5
_NONE = "{}"


@dataclass(frozen=True, slots=True)
class _Found:
    ids: str
    is_more: bool


class _Search:
    """The statements of one search."""

    def __init__(self, session: Session, filters: FileFilters, bounds: Bounds) -> None:
        bound = bound_filters(filters)
        self._session, self._terms, self._ranked = session, filters.terms, bounds.ranked
        self._names, self._newest = tuple(bound), newest_files(filters)
        self._values = {name: value for name, value in bound.items() if value is not None} | {"most": bounds.ranked}
        self._seconds = bounds.seconds

    def is_small(self) -> bool:
        """Whether there are no more files to search than may be ranked."""
        values = self._values | {"looked_at": self._ranked + 1}
        files = self._session.execute(text(_MORE.format(newest=self._newest)), values).scalar_one()
        return int(files) <= self._ranked

    def found(self, similar: bool) -> _Found | None:
        """Matches by index, with similar words or without; None if that takes too long. All calls share the time there is."""
        match = any_words if similar else whole_words
        source = _BY_WORDS.format(rare=match(self._rare)) if self._rare else _BY_FILES.format(files="files")
        start = monotonic()
        row = attempt(self._session, self._seconds, self._statement(source, similar), self._values)
        self._seconds -= monotonic() - start
        return None if row is None else _Found(row.ids or _NONE, row.files > self._ranked)

    def among(self, looked_at: int, similar: bool) -> str:
        """Ids of the matches among the newest ``looked_at`` files."""
        source = _BY_FILES.format(files=_NEWEST_FILES.format(newest=self._newest))
        values = self._values | {"looked_at": looked_at}
        return self._session.execute(self._statement(source, similar), values).one().ids or _NONE

    @cached_property
    def _rare(self) -> list[int]:
        """The numbers of the terms that begin no common word."""
        common = self._session.scalars(_FREQUENCIES, {"terms": list(self._terms), "common": _COMMON}).all()
        return [number for number, term in enumerate(self._terms) if term not in common]

    def _statement(self, source: str, similar: bool) -> TextClause:
        return _statement(source, self._names, len(self._terms), similar)


@lru_cache(maxsize=512)
def _statement(source: str, names: tuple[str, ...], terms: int, similar: bool) -> TextClause:
    conditions = [any_words(range(terms)) if similar else whole_words(range(terms))]
    conditions += [sql for name in names if not name.startswith("terms") and (sql := condition(name))]
    return text(_IDS.format(source=source, conditions=" AND ".join(conditions)))


def _joined(*arrays: str) -> str:
    return "{" + ",".join(array[1:-1] for array in arrays if array != _NONE) + "}"
