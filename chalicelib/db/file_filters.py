"""Which files a list, a search or a count is about: each filter is a piece of SQL of its own; values are always bound."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NewType
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.catalog.files import ListedState
from chalicelib.catalog.metadata_filters import MetadataFilter
from chalicelib.db.key_ranges import end_of
from chalicelib.db.own_words import OwnWords, bound_own_words, find_own_words, has_own_words, tag_of, with_ids
from chalicelib.db.scope import Owner, Scope
from chalicelib.db.search import allow_typos, any_words, bound_terms
from chalicelib.ids import first_uuid7


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
        folder: files right below this prefix, not deeper.
        tags: all of these.
        metadata: all of these conditions on it.
        terms: words to search for, at most eight: see `chalicelib.db.search`.
    """

    owner_id: UUID | None = None
    session_id: str | None = None
    bucket: str | None = None
    key: str | None = None
    prefix: str | None = None
    state: ListedState | None = None
    media_type: str | None = None
    min_size: int | None = None
    max_size: int | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    is_mismatch: bool | None = None
    folder: str | None = None
    tags: tuple[str, ...] = ()
    metadata: tuple[MetadataFilter, ...] = ()
    terms: tuple[str, ...] = ()


# Filters that are narrowed to a scope. Only these become SQL, so that no list, search or count is without one.
ScopedFilters = NewType("ScopedFilters", FileFilters)


def in_scope(filters: FileFilters, scope: Scope) -> ScopedFilters | None:
    """``filters`` narrowed to a scope; None if they ask for files outside of it, since the scope has none of those."""
    if not isinstance(scope, Owner):
        return ScopedFilters(filters)
    if filters.owner_id not in (None, scope.user_id):
        return None
    prefix, session_id = scope.prefix, scope.session_id or filters.session_id
    if filters.session_id not in (None, session_id):
        return None
    if prefix is None or (filters.prefix or "").startswith(prefix):
        prefix = filters.prefix
    elif not prefix.startswith(filters.prefix or ""):
        return None
    return ScopedFilters(replace(filters, owner_id=scope.user_id, prefix=prefix, session_id=session_id))


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
    "is_mismatch": "is_mismatch = CAST(:is_mismatch AS boolean)",
    "folder": "key ^@ :folder AND strpos(substr(key, length(:folder) + 1), '/') = 0",
    "tags": "tags @> CAST(:tags AS text[])",
    # Among the files of one owner, tags and metadata are asked of indexes in which each stands behind a tag of the owner or its
    # session, as words do: how many of others' files have them can't be told from the time that it takes. What is compared
    # begins with that tag, so the comparison itself is as strict. `<> '{}'` says that the index has all such files.
    "own_tags": "own_tags(owner_id, session_id, tags) @> CAST(:own_tags AS text[]) AND tags <> '{}'",
    # The planner must not choose by what it knows of everybody's keys, types, sizes and times, nor read an index of everybody's:
    # see docs/decisions/0041-members-filters.md. A value that is selected is unknown to it; what is computed is in no index.
    # The range of one key, in a subquery: else the planner expects more than there can be, and reads all files for it in order.
    "own_key": "id = ANY(ARRAY(SELECT f.id FROM files AS f WHERE f.owner_id = CAST(:owner_id AS uuid)"
    " AND f.key >= (SELECT CAST(:own_key AS text)) AND f.key <= (SELECT CAST(:own_key AS text))))",
    "own_prefix": "key >= (SELECT CAST(:own_prefix AS text)) AND key < (SELECT CAST(:own_prefix_end AS text))",
    "own_folder": "key >= (SELECT CAST(:own_folder AS text)) AND key < (SELECT CAST(:own_folder_end AS text))"
    " AND strpos(substr(key, length(:own_folder) + 1), '/') = 0",
    # In files that are read in another order: see `bound_filters`. The planner takes such a CASE for true half the time.
    "read_prefix": "CASE WHEN key ^@ :read_prefix THEN true END",
    "read_folder": "CASE WHEN key ^@ :read_folder AND strpos(substr(key, length(:read_folder) + 1), '/') = 0 THEN true END",
    "own_media_type": "media_type || '' = :own_media_type",
    "own_media_family": "media_type || '' ^@ :own_media_family",
    "own_min_size": "size + 0 >= CAST(:own_min_size AS bigint)",
    "own_max_size": "size + 0 <= CAST(:own_max_size AS bigint)",
    "own_created_after": "id >= (SELECT CAST(:own_created_after AS uuid))",
    "own_created_before": "id < (SELECT CAST(:own_created_before AS uuid))",
    "own_updated_after": "updated_at + interval '0' >= CAST(:own_updated_after AS timestamptz)",
    "own_updated_before": "updated_at + interval '0' < CAST(:own_updated_before AS timestamptz)",
    # Literals, so that the planner can use the partial index on rare states, whatever the driver does with parameters.
    "state pending": "state = 'pending'",
    "state stored": "state = 'stored'",
    "state deleted": "state = 'deleted'",
    "state any": "true",
    "not deleted": "state <> 'deleted'",
}

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
    "is_mismatch",
    "folder",
)

# How the conditions are called where they are about one owner's files, and where these are not read by their keys.
_OWN = {name.removeprefix("own_"): name for name in _CONDITIONS if name.startswith("own_") and name != "own_tags"}
_READ = {"prefix": "read_prefix", "folder": "read_folder"}

# So many files are sorted in some 20 ms. Where more are below a prefix, the first ones in another order come soon.
_SORTED = 10_000
_IS_WIDE = text("""
SELECT count(*) > :most FROM (
    SELECT FROM files WHERE owner_id = CAST(:owner_id AS uuid) AND key >= (SELECT CAST(:start AS text))
        AND key < (SELECT CAST(:until AS text)) LIMIT CAST(:most AS bigint) + 1) AS found
""")


def is_wide(session: Session, filters: ScopedFilters) -> bool:
    """Whether too many of an owner's files for sorting are below the prefix or the folder of ``filters``.

    The planner doesn't know, as it mustn't know keys: it always takes them for few.
    """
    start = filters.folder if filters.prefix is None else filters.prefix
    if start is None or filters.owner_id is None or filters.session_id is not None:
        return False
    values = {"owner_id": filters.owner_id, "start": start, "until": end_of(start), "most": _SORTED}
    return bool(session.scalar(_IS_WIDE, values))


def own_words_of(session: Session, filters: ScopedFilters, with_files: bool = True) -> OwnWords | None:
    """How to look for the terms of ``filters`` among one owner's files only; None if they are about everybody's.

    Then this transaction is told how similar words must be. ``with_files``: find the files, too.
    """
    if not filters.terms:
        return None
    own = None
    if filters.owner_id is not None:
        own = find_own_words(session, filters.owner_id, filters.session_id, filters.terms)
    if own is None:
        allow_typos(session, filters.terms)
        return None
    return with_ids(session, own, filters.terms) if with_files else own


def bound_filters(filters: ScopedFilters, own: OwnWords | None, *, wide: bool = False) -> dict[str, Any]:
    """Names of the conditions that ``filters`` ask for, with the values that they bind; names with a space bind none.

    Args:
        own: what `own_words_of` has answered.
        wide: what `is_wide` has answered. Then an owner's files aren't read by their keys. A session's never are: the index of
            keys would be read for the owner's other files, too.
    """
    bound: dict[str, Any] = {name: value for name in _PLAIN if (value := getattr(filters, name)) is not None}
    for name in ("created_after", "created_before"):
        if moment := getattr(filters, name):
            bound[name] = first_uuid7(moment)
    if filters.media_type is not None:
        is_family = filters.media_type.endswith("/*")
        bound["media_family" if is_family else "media_type"] = filters.media_type.removesuffix("*")
    if filters.owner_id is not None:
        names = _OWN | _READ if wide or filters.session_id is not None else _OWN
        bound = {names.get(name, name): value for name, value in bound.items()}
        bound |= {f"{name}_end": end_of(bound[name]) for name in ("own_prefix", "own_folder") if name in bound}
    whose = None if filters.owner_id is None else tag_of(filters.owner_id, filters.session_id)
    if filters.tags:
        bound |= {"tags": list(filters.tags)} if whose is None else {"own_tags": [whose + tag for tag in filters.tags]}
    for number, wanted in enumerate(filters.metadata):
        # No index serves the comparison of times and of what isn't equal. Asked for the latter, the index would be
        # read from end to end, and can't be stopped at it.
        how = "times" if "timestamp_tz" in wanted.path else "equals" if " == " in wanted.path else "others"
        is_own = how == "equals" and whose is not None and not wanted.negated
        bound[f"metadata {'not ' if wanted.negated else ''}{'own' if is_own else how} {number}"] = None
        bound[f"metadata_{number}"] = wanted.below(whose) if is_own and whose else wanted.path
    if filters.terms:
        kind = "terms" if own is None else "own"
        bound[" ".join([kind, str(len(filters.terms)), *map(str, own.common if own else ())])] = None
        bound |= bound_terms(filters.terms) | (bound_own_words(own, len(filters.terms)) if own else {})
    bound["not deleted" if filters.state is None else f"state {filters.state}"] = None
    return bound


def is_in_order_of_creation(filters: FileFilters) -> bool:
    """Whether an index hands out the files that match by creation, and hardly any others."""
    others = replace(filters, owner_id=None, bucket=None, created_after=None, created_before=None)
    return others == FileFilters(state=filters.state if filters.state in ("any", "stored") else None) and (
        filters.owner_id is None or filters.bucket is None
    )


def newest_files(filters: ScopedFilters) -> str:
    """The newest ``:looked_at`` files of an owner's session, of an owner, of a bucket or of all, as a FROM clause's rest.

    An index hands these out in the order of creation. They needn't match the other filters.
    """
    if filters.owner_id is not None:
        names = ["owner_id"] + (["session_id"] if filters.session_id is not None else [])
    else:
        names = ["bucket"] if filters.bucket is not None else []
    conditions = " AND ".join(_CONDITIONS[name] for name in names) or "true"
    return f"files WHERE {conditions} ORDER BY id DESC LIMIT CAST(:looked_at AS int)"


def is_of_terms(name: str) -> bool:
    """Whether `bound_filters` named a condition on words so."""
    return name.startswith(("terms ", "own "))


def condition(name: str) -> str:
    """The SQL of a condition that `bound_filters` named; empty for a value that belongs to another one."""
    kind, _, rest = name.partition(" ")
    if kind == "terms":
        return f"id IN (SELECT s.file_id FROM file_search AS s WHERE {any_words(range(int(rest)))})"  # noqa: S608 - no values
    if kind == "own":
        count, *common = map(int, rest.split(" "))
        return has_own_words(count, common)
    if kind == "metadata":
        *negated, how, number = rest.split(" ")
        path = f"CAST(:metadata_{number} AS jsonpath)"
        if how == "own":
            return f"own_metadata(owner_id, session_id, metadata) @? {path} AND metadata <> '{{}}'"
        exists = "jsonb_path_exists_tz" if how == "times" else "jsonb_path_exists"
        found = f"metadata @? {path}" if how == "equals" else f"{exists}(metadata, {path}, '{{}}', true)"
        return f"NOT ({found})" if negated else found
    return _CONDITIONS.get(name, "")
