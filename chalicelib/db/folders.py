"""Reading keys as folders. `^@` is "starts with"; a folder ends with the first slash behind the prefix.

A list of folders jumps from folder to folder along an index of keys, then reads what is in each. Both can be bounded, so
that it takes as long in a large catalogue as in a small one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from chalicelib.db.bounds import Bounds
from chalicelib.db.cursors import decode_values, encode_values
from chalicelib.db.key_ranges import end_of
from chalicelib.db.pages import MAX_BYTES, Page, page_statement
from chalicelib.db.scope import Owner, Scope
from chalicelib.errors import InvalidCursor
from chalicelib.ids import first_uuid7

# For each scope an index hands out keys in order, also those of files that aren't stored.
_EVERYONES = "bucket = :bucket"
_OWN = f"{_EVERYONES} AND owner_id = CAST(:owner_id AS uuid)"
_SESSIONS = f"{_OWN} AND session_id = :session_id"

# A step of the walk finds the next folder from `place` on, or goes on behind the keys that it has looked at. They may
# belong to files that lie in no folder, or aren't stored. What follows a folder's keys begins where a zero, the character
# after the slash, is in the slash's place.
_AT_ONCE = 100
# In a question about one owner's files the planner must not choose by what it knows of everybody's keys: a value that is selected
# is unknown to it.
_START, _UNTIL = "(SELECT CAST(:prefix AS text))", "(SELECT CAST(:until AS text))"
_WALK = """
WITH RECURSIVE walk AS (
    SELECT CAST(NULL AS text) COLLATE "C" AS prefix, CAST(:start AS text) COLLATE "C" AS place, 0 AS number, 0 AS passed
    UNION ALL
    SELECT found.prefix, CASE WHEN found.prefix IS NULL THEN (
            SELECT key FROM files WHERE {scope} AND key >= place AND key < {until} ORDER BY key OFFSET {at_once} LIMIT 1)
        ELSE left(found.prefix, -1) || '0' END,
        number + (found.prefix IS NOT NULL)::int, passed + CASE WHEN found.prefix IS NULL THEN {at_once} ELSE 0 END
    FROM walk LEFT JOIN LATERAL (
        SELECT left(key, length(:prefix) + strpos(substr(key, length(:prefix) + 1), '/')) AS prefix FROM (
            SELECT key, state FROM files WHERE {scope} AND key >= place AND key < {until} ORDER BY key LIMIT {at_once}) AS next
        WHERE state = 'stored' AND strpos(substr(key, length(:prefix) + 1), '/') > 0 LIMIT 1) AS found ON true
    WHERE place IS NOT NULL AND number < :limit AND (CAST(:most AS int) IS NULL OR passed < CAST(:most AS int))
), folders AS (
    SELECT prefix, CAST(:most AS int) / count(*) OVER () AS most FROM walk WHERE prefix IS NOT NULL
), page AS ({page})
SELECT page.*, (SELECT place FROM walk ORDER BY number DESC, passed DESC LIMIT 1) AS next_place FROM page
"""
_FOLDERS = 'SELECT * FROM folders CROSS JOIN LATERAL ({sum}) AS sums ORDER BY prefix COLLATE "C"'
_SUM = """
SELECT count(*) FILTER (WHERE state = 'stored') AS files, coalesce(sum(size), 0) AS bytes,
    CAST({most} AS int) IS NULL OR count(*) <= {most} AS exact
FROM (SELECT state, size FROM files WHERE {scope} AND key >= {start} AND key < {until} LIMIT CAST({most} AS int) + 1) AS looked_at
"""
_FILES = """
SELECT id FROM files WHERE {scope} AND state <> 'deleted' AND {is_below}
    AND id < CAST(:created_before AS uuid) AND (CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid))
ORDER BY id LIMIT :limit
"""


def _walk(scope: str) -> TextClause:
    each = _SUM.format(scope=scope, start="prefix", until="left(prefix, -1) || '0'", most="folders.most")
    item = (
        "prefix, substr(prefix, length(:prefix) + 1, length(prefix) - length(:prefix) - 1) AS name, files, bytes, exact"
    )
    page = page_statement(item, ("left(prefix, -1) || '0'",), _FOLDERS.format(sum=each))
    return text(_WALK.format(scope=scope, until=_range(scope)["until"], at_once=_AT_ONCE, page=page.text))


def _sum(scope: str) -> TextClause:
    return text(_SUM.format(scope=scope, most=":most", **_range(scope)))


def _files(scope: str) -> TextClause:
    # An owner's are read by creation from `after` on, whichever folder it is: a job reads on, and doesn't begin anew each time.
    is_below = "key ^@ :prefix" if scope == _EVERYONES else "CASE WHEN key ^@ :prefix THEN true END"
    return text(_FILES.format(scope=scope, is_below=is_below))


def _range(scope: str) -> dict[str, str]:
    return {"start": ":prefix", "until": ":until"} if scope == _EVERYONES else {"start": _START, "until": _UNTIL}


_SCOPES = (_OWN, _SESSIONS, _EVERYONES)
_WALKS, _SUMS, _FILES_BELOW = ([build(scope) for scope in _SCOPES] for build in (_walk, _sum, _files))


@dataclass(frozen=True, slots=True)
class Folder:
    """All files in a bucket whose keys start with ``prefix``."""

    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class FolderSum:
    """Stored files in a folder, at any depth, and their bytes: at least so many, unless ``exact``."""

    files: int
    bytes: int
    exact: bool


def list_folders(
    session: Session, scope: Scope, folder: Folder, bounds: Bounds | None, limit: int, cursor: str | None
) -> Page:
    """A page of the folders right below a folder, in the order of their names: prefix, name, files, bytes, exact.

    With ``bounds``, ``files`` and ``bytes`` are at least so many, unless ``exact``; and a page may end early, where the
    next one goes on.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    start = _decode(cursor, folder.prefix) if cursor else folder.prefix
    place = {"start": start, "limit": limit + 1, "rows_left": limit, "bytes_left": MAX_BYTES, "at_least": 1}
    bound = _bound(scope, folder) | {"most": _most(bounds)} | place
    row = session.execute(_of(scope, *_WALKS), bound).one()
    next_place = json.loads(row.place)[0] if row.found > row.kept else row.next_place
    return Page(f"[{row.items or ''}]", None if next_place is None else encode_values(_CURSOR, next_place))


def sum_below(session: Session, scope: Scope, folder: Folder, bounds: Bounds | None) -> FolderSum:
    """What is in a folder, at any depth."""
    statement = _of(scope, *_SUMS)
    row = session.execute(statement, _bound(scope, folder) | {"most": _most(bounds)}).one()
    return FolderSum(row.files, int(row.bytes), row.exact)


def files_below(
    session: Session, scope: Scope, folder: Folder, until: datetime, after: UUID | None, limit: int
) -> Sequence[UUID]:
    """Ids of files in a folder that aren't deleted and were created before ``until``, in the order of their creation."""
    bound = {"created_before": first_uuid7(until), "after": after, "limit": limit}
    return session.scalars(_of(scope, *_FILES_BELOW), _bound(scope, folder) | bound).all()


def _of(scope: Scope, own: TextClause, sessions: TextClause, everyones: TextClause) -> TextClause:
    if not isinstance(scope, Owner):
        return everyones
    return own if scope.session_id is None else sessions


def _most(bounds: Bounds | None) -> int | None:
    return bounds.counted if bounds else None


def _bound(scope: Scope, folder: Folder) -> dict[str, object]:
    bound = {"bucket": folder.bucket, "prefix": folder.prefix, "until": end_of(folder.prefix)}
    owner: dict[str, object] = {}
    if isinstance(scope, Owner):
        owner = {"owner_id": scope.user_id} | ({"session_id": scope.session_id} if scope.session_id is not None else {})
    return bound | owner


_CURSOR = "folders from"


def _decode(cursor: str, prefix: str) -> str:
    (place,) = decode_values(cursor, _CURSOR, 1)
    if not isinstance(place, str) or not place.startswith(prefix):
        raise InvalidCursor
    return place
