"""The history of files: their versions and their events, page by page, also those at locations that they had before."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from chalicelib.catalog.objects import Current, DeleteMarker, HiddenObject, Location, ObjectVersion
from chalicelib.db.current_version import current_version
from chalicelib.db.cursors import decode_values, encode_values
from chalicelib.db.engine import prepared_read
from chalicelib.db.pages import Page, PageReader, in_utc, page_statement
from chalicelib.db.scope import FILE_IN_SCOPE, Scope, bound_scope
from chalicelib.errors import InvalidCursor

# Which versions, and which events, at one of a file's locations belong to it: see `file_of_version` and `file_of_event` in the
# migrations 0029 and 0032. Hardly any key has a file that has left it; where none has, all belong to the file that is there.
_IS_ALONE = """(CAST(:until AS timestamptz) IS NULL AND NOT EXISTS (
    SELECT FROM file_places AS p WHERE p.key = {row}.key AND p.bucket = {row}.bucket))"""
_BELONGS = f"""({_IS_ALONE.format(row="v")}
    OR file_of_version(v.bucket, v.key, v.version_id) = CAST(:file_id AS uuid))"""
_EVENT_BELONGS = f"""({_IS_ALONE.format(row="e")}
    OR file_of_event(e.bucket, e.key, e.version_id, e.event_time) = CAST(:file_id AS uuid))"""

_CURRENT_VERSION = f"(SELECT now.version_id FROM ({current_version(':bucket', ':key')}) AS now)"  # noqa: S608 - no values

# A row without a put is only the tombstone of a version whose put never came. The row "*" is the tombstone of a whole
# key.
_VERSIONS = prepared_read(
    page_statement(
        f"""version_id, is_current, is_delete_marker, removed, size, etag, media_type, inspection, inspection_problem,
        {in_utc("stored_at")} AS stored_at""",
        ("put_rank", "version_id"),
        """
    SELECT v.version_id, v.is_delete_marker, NOT v.alive AS removed, v.size, v.etag, v.media_type, v.inspection,
        v.inspect_problem AS inspection_problem, v.stored_at, v.put_rank,
        CAST(:until AS timestamptz) IS NULL AND v.version_id IS NOT DISTINCT FROM {current} AS is_current
    FROM object_versions AS v
    WHERE v.bucket = :bucket AND v.key = :key AND v.put_rank <> '' AND v.version_id <> '*'
        AND {belongs}
        AND (CAST(:after_rank AS text) IS NULL OR (v.put_rank, v.version_id) < (:after_rank, :after_version))
    ORDER BY v.put_rank DESC, v.version_id DESC
    LIMIT :limit
""".replace("{belongs}", _BELONGS).replace("{current}", _CURRENT_VERSION),
    )
)

# An event without a time is kept at the epoch: the partition key can't be null. The id that clients see is made of the primary
# key. The column `id` counts everyone's events, and would tell how many others have.
_EVENT_ID = "md5(row(bucket, key, rank, version_id, event_time AT TIME ZONE 'UTC')::text)::uuid"
_EVENTS = prepared_read(
    page_statement(
        f"""{_EVENT_ID} AS id, change, event_name, version_id, sequencer, size, etag,
        {in_utc("nullif(event_time, 'epoch')")} AS event_time,
        {in_utc("recorded_at")} AS recorded_at""",
        ("rank", "version_id"),
        """
    SELECT e.* FROM file_events AS e
    WHERE e.bucket = :bucket AND e.key = :key AND {belongs}
        AND (CAST(:after_rank AS text) IS NULL OR (e.rank, e.version_id) > (:after_rank, :after_version))
    ORDER BY e.rank, e.version_id
    LIMIT :limit
""".replace("{belongs}", _EVENT_BELONGS),
    )
)

# The newest object of the file at each key, and the markers above it, all of them alive. Removing the markers makes the object
# current again. What another file has left there is no object of this one.
_UNINSPECTED = "(v.inspect_after IS NOT NULL OR v.inspect_problem IS NOT NULL)"
_MISMATCH = "coalesce(CAST(v.inspection -> 'is_mismatch' AS boolean), false)"
_HIDDEN = text(
    """
SELECT t.place, o.size, o.version_id, o.put_rank, o.etag, o.media_type, o.is_uninspected, o.is_mismatch, (
    SELECT json_agg(json_build_array(m.version_id, m.put_rank)) FROM object_versions AS m
    WHERE m.bucket = t.bucket AND m.key = t.key AND m.alive AND m.is_delete_marker
        AND (m.put_rank > o.put_rank OR m.follows = o.version_id)) AS markers
FROM unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) WITH ORDINALITY AS t (bucket, key, place)
CROSS JOIN LATERAL (
    SELECT v.*, {uninspected} AS is_uninspected, {mismatch} AS is_mismatch FROM object_versions AS v
    WHERE v.bucket = t.bucket AND v.key = t.key AND v.alive AND NOT v.is_delete_marker
        AND (NOT EXISTS (SELECT FROM file_places AS p WHERE p.key = t.key AND p.bucket = t.bucket)
            OR file_of_version(v.bucket, v.key, v.version_id) = (
                SELECT f.id FROM files AS f WHERE f.key = t.key AND f.bucket = t.bucket))
    ORDER BY v.put_rank DESC, v.version_id DESC LIMIT 1) AS o
""".replace("{uninspected}", _UNINSPECTED).replace("{mismatch}", _MISMATCH)
)


def hidden_objects(session: Session, locations: Sequence[Location]) -> dict[Location, HiddenObject]:
    """The objects that could be restored at these locations. Locations where S3 holds no object are left out."""
    bound = {"buckets": [bucket for bucket, _ in locations], "keys": [key for _, key in locations]}
    return {
        locations[row.place - 1]: HiddenObject(
            ObjectVersion(
                bucket=locations[row.place - 1].bucket,
                key=locations[row.place - 1].key,
                version_id=row.version_id,
                put_rank=row.put_rank,
                size=row.size,
                etag=row.etag,
                media_type=row.media_type,
                is_uninspected=row.is_uninspected,
                is_mismatch=row.is_mismatch,
            ),
            [DeleteMarker(version, rank) for version, rank in row.markers or ()],
        )
        for row in session.execute(_HIDDEN, bound)
    }


# Removals count, too: without versions, an object that is put again must outrank the removal of the last one. Removals
# by version id don't count: they rank above everything, and concern one version only.
_CURRENT = text(
    """
SELECT {current} AS version_id,
    max(greatest(v.put_rank, CASE WHEN v.version_id IN ('', '*') THEN v.removal_rank ELSE '' END)) AS rank
FROM object_versions AS v WHERE v.bucket = :bucket AND v.key = :key
""".replace("{current}", _CURRENT_VERSION)
)


def current_at(session: Session, bucket: str, key: str) -> Current | None:
    """What is known of a location; None if nothing ever was there."""
    row = session.execute(_CURRENT, {"bucket": bucket, "key": key}).one()
    return None if row.rank is None else Current(row.version_id, row.rank)


# Of two files that have been at a key, one may be in the trash, and the other one's versions must stay. So a delete marker stays
# where it may be all that hides an object of another file's: without it, that would come to light as this file's.
_HIDES_ANOTHERS = """(v.is_delete_marker AND EXISTS (
    SELECT FROM file_places AS p WHERE p.key = v.key AND p.bucket = v.bucket) AND EXISTS (
    SELECT FROM object_versions AS o
    WHERE o.bucket = :bucket AND o.key = :key AND o.alive AND NOT o.is_delete_marker
        AND file_of_version(o.bucket, o.key, o.version_id) IS DISTINCT FROM CAST(:file_id AS uuid)))"""
_VERSIONS_THERE = text(
    """
SELECT v.bucket, v.key, v.version_id, v.put_rank, v.etag, v.is_delete_marker AS is_marker FROM object_versions AS v
WHERE v.bucket = :bucket AND v.key = :key AND v.alive AND v.version_id <> '*' AND {belongs} AND NOT {hides_anothers}
ORDER BY v.is_delete_marker, v.put_rank LIMIT :limit
""".replace("{belongs}", _BELONGS).replace("{hides_anothers}", _HIDES_ANOTHERS)
)


def versions_of(session: Session, scope: Scope, file_id: UUID, limit: int) -> list[ObjectVersion]:
    """Up to ``limit`` versions of a file that S3 holds, also at locations that it had before; objects before delete markers.

    Delete markers are left out where they may hide what belongs to another file: these versions are to be removed.
    """
    found: list[ObjectVersion] = []
    for location in _locations(session, scope, file_id):
        rows = session.execute(_VERSIONS_THERE, {**location, "limit": limit - len(found)})
        found += [ObjectVersion(**row) for row in rows.mappings()]
    return found


# The file's present location and its earlier ones, each once: a file may have come back.
_LOCATIONS_OF = prepared_read(
    text(f"""
WITH mine AS (SELECT * FROM files WHERE id = CAST(:file_id AS uuid) AND {FILE_IN_SCOPE})
SELECT a.bucket, a.key, nullif(max(a.until), 'infinity') AS until
FROM (
    SELECT f.bucket, f.key, CAST('infinity' AS timestamptz) AS until FROM mine AS f
    UNION ALL
    SELECT p.bucket, p.key, p.moved_at FROM file_places AS p JOIN mine ON mine.id = p.file_id) AS a
GROUP BY a.bucket, a.key
ORDER BY max(a.until) DESC, a.bucket, a.key
""")  # noqa: S608 - no values
)
_VERSION = prepared_read(
    text(
        """
SELECT v.bucket, v.key, v.version_id, v.put_rank, v.size, v.etag, v.media_type, {uninspected} AS is_uninspected,
    {mismatch} AS is_mismatch
FROM object_versions AS v
WHERE v.bucket = :bucket AND v.key = :key AND v.version_id = :version_id
    AND v.alive AND NOT v.is_delete_marker AND v.put_rank <> '' AND {belongs}
""".replace("{belongs}", _BELONGS)
        .replace("{uninspected}", _UNINSPECTED)
        .replace("{mismatch}", _MISMATCH)
    )
)


def find_version(session: Session, scope: Scope, file_id: UUID, version_id: str) -> ObjectVersion | None:
    """A version of a file that S3 holds, at its present or an earlier location; ``null`` is the one from before versioning."""
    wanted = "" if version_id == "null" else version_id
    for location in _locations(session, scope, file_id):
        row = session.execute(_VERSION, {**location, "version_id": wanted}).one_or_none()
        if row is not None:
            return ObjectVersion(*row)
    return None


def list_versions(session: Session, scope: Scope, file_id: UUID, limit: int, cursor: str | None) -> Page:
    """A page of a file's versions, the newest put first; those at locations that it had before come last.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    return _page(session, _VERSIONS, "versions", _locations(session, scope, file_id), limit, cursor)


def list_events(session: Session, scope: Scope, file_id: UUID, limit: int, cursor: str | None) -> Page:
    """A page of a file's events, in the order in which they happened, not in the order in which they arrived.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    return _page(session, _EVENTS, "events", _locations(session, scope, file_id)[::-1], limit, cursor)


# What the statements above need to know of a location, as parameters.
_Bound = Mapping[str, Any]


def _locations(session: Session, scope: Scope, file_id: UUID) -> list[_Bound]:
    bound = {"file_id": file_id} | bound_scope(scope)
    return [{**row, "file_id": file_id} for row in session.execute(_LOCATIONS_OF, bound).mappings()]


def _page(
    session: Session, statement: TextClause, name: str, locations: Sequence[_Bound], limit: int, cursor: str | None
) -> Page:
    """Walk the locations one after the other until there is a page; the cursor says where it stopped."""
    number, rank, version_id = _decode(name, cursor, locations) if cursor else (0, None, None)
    reader, at = PageReader(session, limit), number
    for index in range(number, len(locations)):
        taken = reader.count
        reader.read(statement, {**locations[index], "after_rank": rank, "after_version": version_id})
        if reader.count > taken:
            at = index  # of the last row
        if reader.is_full:
            break
        rank = version_id = None
    return reader.page(lambda place: encode_values(name, *_place(locations[at]), *place))


def _place(location: _Bound) -> tuple[str, str]:
    return location["bucket"], location["key"]


def _decode(name: str, cursor: str, locations: Sequence[_Bound]) -> tuple[int, str, str]:
    """Where in ``locations`` the last page ended, and after what. The file may have been moved since then."""
    bucket, key, rank, version_id = decode_values(cursor, name, 4)
    at = next((number for number, one in enumerate(locations) if _place(one) == (bucket, key)), None)
    if at is None or not isinstance(rank, str) or not isinstance(version_id, str):
        raise InvalidCursor
    return at, rank, version_id
