"""Looking for words among the files of one owner, or of one session of it, without reading what belongs to others.

`file_search_own_words_idx` has each word of a file twice: behind a tag of its owner and behind one of its session. The words of
two owners, or of two sessions, lie apart in it. So how many files of others have a word can't be told from how long a search
takes, nor from the number of pages that it reads: see ADR 38.

Words with one error are looked for here, too: as the beginnings that they may have. The index of trigrams mixes all owners.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.db.deadlines import attempt
from chalicelib.db.engine import acting_for
from chalicelib.db.scope import EVERYONE

# Words that more of an owner's files have are common.
_COMMON = 50_000
_SHORTEST, _LONGEST = 5, 24
# As the index has them.
OWN_WORDS, HAS_OWN_WORDS = "own_words(document, owner_tag, session_tag)", "owner_tag <> ''"
_BEGINS_OWN_WORD = "s.owner_tag <> '' AND own_words(s.document, s.owner_tag, s.session_tag) @@ {query}"

# The words of the owner's files that a term begins, and those that have an error. Postgres cuts some terms into two words
# ("12e45ab"), which are then both looked for. The subquery keeps the words from the planner: what it knows of them, it knows of
# everybody's.
_QUERY = r"""(SELECT CAST(replace(regexp_replace(CAST(to_tsquery('simple', :prefix_{number}) AS text),
    '''([^'']+)''', '''' || CAST(:own_tag AS text) || '\1''', 'g'), '<->', '&') || CAST(:errors_{number} AS text) AS tsquery))"""
# A call, and not `@@`: no index is to be asked for what most of the owner's files have.
_IS_IN_DOCUMENT = "ts_match_vq(s.document, to_tsquery('simple', :prefix_{number}))"
# For one query of all beginnings, GIN would compare each with all others.
_AT_ONCE = 40
_IS_KNOWN = _BEGINS_OWN_WORD.format(query="CAST(w.query AS tsquery)")
_KNOWN = text(f"""
SELECT coalesce(array_agg(w.number), '{{}}') AS numbers, coalesce(array_agg(w.query), '{{}}') AS queries
FROM unnest(CAST(:numbers AS int[]), CAST(:queries AS text[])) AS w (number, query)
WHERE EXISTS (SELECT FROM file_search AS s WHERE {_IS_KNOWN} OFFSET 0)
""")  # noqa: S608 - no values

_STATE = text("""
SELECT EXISTS (SELECT FROM search_queue AS q JOIN files AS f ON f.id = q.file_id WHERE q.is_untagged) AS is_incomplete,
    words_of_many_files(CAST(:words AS text[]), :most) AS common
""")


@dataclass(frozen=True, slots=True)
class OwnWords:
    """How to look for terms among an owner's files.

    Attributes:
        common: numbers of the terms that begin a word of many of its files. These are not asked of the index.
        with_errors: queries for what has an error in it, each with the number of its term. They find some files.
        ids: of the files that have all terms that aren't common, as the text of an array; None if they weren't looked for.
    """

    tag: str
    common: tuple[int, ...] = ()
    with_errors: tuple[tuple[int, str], ...] = ()
    ids: str | None = None


def tag_of(owner_id: UUID, session_id: str | None) -> str:
    """What the words of an owner's files, or of those in its session, begin with: as `search_tag` in Postgres has it."""
    whose = f"{owner_id}" if session_id is None else f"{owner_id}/{session_id}"
    return base64.b64encode(hashlib.sha256(whose.encode()).digest()).decode()[:8]


def find_own_words(session: Session, owner_id: UUID, session_id: str | None, terms: Sequence[str]) -> OwnWords | None:
    """How to look for ``terms`` among an owner's files, or those in its session; None until all have their tags."""
    tag = tag_of(owner_id, session_id)
    with acting_for(session, EVERYONE):  # what is asked for are numbers of the owner's own words
        row = session.execute(_STATE, {"words": [tag + term for term in terms], "most": _COMMON}).one()
    if row.is_incomplete:
        return None
    return OwnWords(tag, tuple(number for number, term in enumerate(terms) if tag + term in row.common))


def with_known_errors(
    session: Session, own: OwnWords, terms: Sequence[str], seconds: float | None = None
) -> OwnWords | None:
    """``own`` with queries for the words with an error that the owner's files have; None if finding out takes longer.

    Many files have a common term: no errors in it are looked for.
    """
    wanted = [
        (number, " | ".join(f"'{own.tag}{word}':*" for word in words[start : start + _AT_ONCE]))
        for number, words in enumerate(map(beginnings_with_an_error, terms))
        if number not in own.common
        for start in range(0, len(words), _AT_ONCE)
    ]
    if not wanted:
        return own
    values = {
        "numbers": [number for number, _ in wanted],
        "queries": [query for _, query in wanted],
    }
    with acting_for(session, EVERYONE):
        row = session.execute(_KNOWN, values).one() if seconds is None else attempt(session, seconds, _KNOWN, values)
    return None if row is None else replace(own, with_errors=tuple(zip(row.numbers, row.queries, strict=True)))


def with_ids(session: Session, own: OwnWords, terms: Sequence[str]) -> OwnWords:
    """``own`` with its errors and its ids. If these are too many, all terms are common."""
    rare = [number for number in range(len(terms)) if number not in own.common]
    if not rare:
        return own
    known = with_known_errors(session, own, terms)
    assert known is not None
    bound = bound_own_words(known, len(terms)) | {f"prefix_{number}": f"{terms[number]}:*" for number in rare}
    # In the table itself: the view would look up each file, and by another index if it believes that the owner has few.
    with acting_for(session, EVERYONE):
        found = session.execute(text(_IDS.format(begin_own_words(rare, ()))), bound | {"most": _COMMON}).one()
    if found.files > _COMMON:  # as with "IMG" before IMG0001, IMG0002 and so on, none of which is common
        return replace(own, common=tuple(range(len(terms))))
    return replace(known, ids=found.ids)


_IDS = """
SELECT count(*) AS files, coalesce(array_agg(file_id), '{{}}')::text AS ids
FROM (SELECT s.file_id FROM file_search AS s WHERE {} LIMIT CAST(:most AS bigint) + 1) AS found
"""


def bound_own_words(own: OwnWords, terms: int) -> dict[str, str]:
    """Values of the parameters in `begin_own_words` that `bound_terms` doesn't have, for so many terms."""
    bound = {"own_tag": own.tag}
    for number in range(terms):
        queries = [query for of, query in own.with_errors if of == number]
        bound[f"errors_{number}"] = "".join(f" | {query}" for query in queries)
    return bound if own.ids is None else bound | {"own_ids": own.ids}


def has_own_words(count: int, common: Sequence[int]) -> str:
    """The condition on ``files`` that a file has so many terms: it is among the ids, and has those that are ``common``."""
    is_found = ["id = ANY(CAST(:own_ids AS uuid[]))"] if len(common) < count else []
    if common:
        is_found.append(f"(SELECT {begin_own_words(common, common)} FROM file_search AS s WHERE s.file_id = id)")  # noqa: S608
    return " AND ".join(is_found)


def begin_own_words(terms: Sequence[int], common: Sequence[int]) -> str:
    """The condition on ``file_search AS s`` that each of these terms begins a word of the owner's files, maybe with an error.

    Terms go by their numbers. No index serves those that are ``common``.
    """
    return " AND ".join(
        _IS_IN_DOCUMENT.format(number=number)
        if number in common
        else _BEGINS_OWN_WORD.format(query=_QUERY.format(number=number))
        for number in terms
    )


def beginnings_with_an_error(term: str) -> list[str]:
    """What words begin with that begin with ``term`` but for one letter: it is wrong, missing, too much, or changed places.

    None for short terms and for numbers, where each of these would be another word. What begins with another of these
    isn't named.
    """
    if not _SHORTEST <= len(term) <= _LONGEST or term.isdecimal():
        return []
    shorter = {term[:place] + term[place + 1 :] for place in range(len(term))}
    others = {word for word in _changed(term) if word[: len(term) - 1] not in shorter}
    known = others | {term}
    return sorted(shorter | {word for word in others if len(word) == len(term) or word[: len(term)] not in known})


def _changed(term: str) -> Iterator[str]:
    letters = sorted({*ascii_lowercase, *term})
    for place in range(len(term)):
        before, rest = term[:place], term[place:]
        yield from (before + letter + rest for letter in letters)
        yield from (before + letter + rest[1:] for letter in letters)
        if len(rest) > 1:
            yield before + rest[1] + rest[0] + rest[2:]
