"""Full-text and typo-tolerant search: keeping its table, and reading it.

``words`` is for similarity by trigrams, ``document`` for whole words. Both hold a file's name, key, tags, and the texts
and numbers of its metadata. A search is a set of terms. A file matches if each term begins a word of its document, or
is similar to some of its words. Its score adds both up. It is a whole number, in millionths, so that equal scores are
exactly equal and a cursor can continue after one. Which files are scored: see `chalicelib.db.candidates`.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from unicodedata import category, normalize

from sqlalchemy import text
from sqlalchemy.orm import Session

MAX_TERMS = 8
_TERM = re.compile(r"[^\W_]+")

# The queue's rows are claimed first, in a statement of their own. What `_INDEX` reads is then at least as new as every
# change that queued one of them. Rows that other transactions are changing are left out, so that nobody waits for them
# in a circle.
_CLAIM = text("""
SELECT q.file_id FROM search_queue AS q JOIN files AS f ON f.id = q.file_id
ORDER BY q.file_id DESC LIMIT :limit
FOR UPDATE OF q SKIP LOCKED FOR KEY SHARE OF f SKIP LOCKED
""")
_FORGET_GONE = text("DELETE FROM search_queue AS q WHERE NOT EXISTS (SELECT FROM files AS f WHERE f.id = q.file_id)")
# Names and keys are cut at everything that isn't a letter or a digit, and between the two cases of camelCase, so that each part
# is a word. What is cut between cases is a word as a whole, too: "powerpoint" finds PowerPoint. Letters are composed, as
# `terms_of` has them: a Mac writes é as e with an accent behind.
_INDEX = text(r"""
WITH due AS MATERIALIZED (
    DELETE FROM search_queue WHERE file_id = ANY(CAST(:ids AS uuid[])) RETURNING file_id
), texts AS (
    -- The columns' own collation knows ASCII letters only.
    SELECT f.id, f.owner_id, f.session_id, left(regexp_replace(normalize(concat_ws(' ', f.name, f.key,
        array_to_string(f.tags, ' '), (
            SELECT string_agg(v #>> '{}', ' ')
            FROM jsonb_path_query(f.metadata, 'strict $.** ? (@.type() == "string" || @.type() == "number")') AS v)), NFC)
        COLLATE pg_c_utf8, '[^[:alnum:]]+', ' ', 'g'), 20000) AS whole
    FROM due JOIN files AS f ON f.id = due.file_id
), cut AS (
    SELECT id, owner_id, session_id, lower(whole) AS whole,
        lower(regexp_replace(whole, '([[:lower:]])([[:upper:]])', '\1 \2', 'g')) AS words
    FROM texts
)
INSERT INTO file_search AS s (file_id, words, document, owner_tag, session_tag)
SELECT id, words, to_tsvector('simple', CASE words WHEN whole THEN words ELSE words || ' ' || whole END),
    coalesce(search_tag(CAST(owner_id AS text)), ''),
    coalesce(search_tag(owner_id || '/' || session_id), '')
FROM cut
ON CONFLICT (file_id) DO UPDATE SET words = excluded.words, document = excluded.document, owner_tag = excluded.owner_tag,
    session_tag = excluded.session_tag
""")


_SET_THRESHOLD = text("SELECT set_config('pg_trgm.word_similarity_threshold', :threshold, true)")
_SIMILAR, _SIMILAR_IF_SHORT, _LONG = 0.4, 0.51, 5


def index_files(session: Session, limit: int) -> int:
    """Index up to ``limit`` files whose words have changed, the newest first; returns how many there were."""
    claimed = session.scalars(_CLAIM, {"limit": limit}).all()
    if claimed:
        session.execute(_INDEX, {"ids": list(claimed)})
    else:
        session.execute(_FORGET_GONE)
    return len(claimed)


def allow_typos(session: Session, terms: Sequence[str]) -> None:
    """Set how similar words must be for `any_words` in this transaction; the default of Postgres is 0.6.

    One wrong letter costs a word about three of its trigrams, which is most of those of a short word. A threshold that
    allows for this in short words would find everything that begins alike.
    """
    threshold = _SIMILAR if min(map(len, terms)) >= _LONG else _SIMILAR_IF_SHORT
    session.execute(_SET_THRESHOLD, {"threshold": str(threshold)})


def terms_of(query: str) -> list[str]:
    """The words that a search asks for, in lower case, each once; at most eight.

    As Postgres has them: small numbers (CO₂) are no letters, and the capital İ is an i.

    >>> terms_of("Re\u0301sume\u0301 CO₂ İzmir")
    ['résumé', 'co', 'izmir']
    """
    composed = normalize("NFC", query).replace("İ", "i").lower()
    letters = "".join(" " if category(letter) == "No" else letter for letter in composed)
    return list(dict.fromkeys(_TERM.findall(letters)))[:MAX_TERMS]


def bound_terms(terms: Sequence[str]) -> dict[str, str]:
    """Values of the parameters in `whole_words`, `any_words` and `score`."""
    bound = {"whole": " & ".join(f"{term}:*" for term in terms)}
    for number, term in enumerate(terms):
        bound |= {f"term_{number}": term, f"prefix_{number}": f"{term}:*"}
    return bound


def whole_words(terms: Sequence[int]) -> str:
    """The condition on ``file_search AS s`` that each of these terms begins a word. Terms go by their numbers."""
    return " AND ".join(f"s.document @@ to_tsquery('simple', :prefix_{number})" for number in terms)


def any_words(terms: Sequence[int]) -> str:
    """The condition on ``file_search AS s`` that each of these terms begins a word, or is similar to some words.

    `%>` is similarity to the nearest words, which an index serves; the driver wants the percent sign twice. Trigrams
    take letters from the server's locale, which may be ASCII only. The search for beginnings of words knows all
    letters.
    """
    return " AND ".join(
        f"(s.document @@ to_tsquery('simple', :prefix_{number}) OR s.words %%> :term_{number})" for number in terms
    )


def any_words_compared(terms: Sequence[int]) -> str:
    """The same as `any_words`, in a way that no index serves.

    For `%>` the planner compares a hundred files' words with the term, which takes 5 ms.
    """
    return " AND ".join(
        f"(s.document @@ to_tsquery('simple', :prefix_{number}) OR CAST(word_similarity(:term_{number}, s.words) AS float)"
        " >= CAST(current_setting('pg_trgm.word_similarity_threshold') AS float))"
        for number in terms
    )


@lru_cache(maxsize=MAX_TERMS + 1)
def score(count: int) -> str:
    """How well a row of ``file_search AS s`` fits. Whole words count more than similar ones, and more in a short document.

    A term's similarity to a word that begins with it is known: 1 if it is the whole word, else n / (n + 1) for n letters,
    since all its trigrams but the last one fit. Looking that up takes 1 µs, `word_similarity` 45.
    """
    similar = " + ".join(
        f"CASE WHEN s.document @@ to_tsquery('simple', :term_{number}) THEN 1 "
        f"WHEN s.document @@ to_tsquery('simple', :prefix_{number}) "
        f"THEN length(:term_{number}) / (length(:term_{number}) + 1.0) ELSE word_similarity(:term_{number}, s.words) END"
        for number in range(count)
    )
    whole = "ts_rank(s.document, to_tsquery('simple', :whole), 1)"
    return f"CAST(1000000 * (({similar}) / {count} + {whole}) AS bigint)"
