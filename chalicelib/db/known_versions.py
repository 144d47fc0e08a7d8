"""The versions that the catalogue knows, as an audit compares them with the bucket."""

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import ColumnElement, select, text, tuple_
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import InspectionRequest
from chalicelib.catalog.comparison import KnownVersion, by_version
from chalicelib.catalog.objects import Location
from chalicelib.db.models import FileEvent, ObjectVersion

# Versions by their ids, at each location that has any.
Known = dict[Location, dict[str, KnownVersion]]


def known_at(session: Session, locations: Sequence[Location]) -> Known:
    """The versions of these locations."""
    return _known(session, tuple_(ObjectVersion.bucket, ObjectVersion.key).in_(locations))


def told_at(session: Session, locations: Sequence[Location]) -> dict[Location, set[tuple[str, bool]]]:
    """The versions of these locations whose making or removal (True) an event has told of. Objects without ids are left out."""
    event = FileEvent
    rows = session.execute(
        select(event.bucket, event.key, event.version_id, event.change == "removal")
        .where(tuple_(event.bucket, event.key).in_(locations), event.version_id.not_in(("", "*")))
        .distinct()
    )
    found: dict[Location, set[tuple[str, bool]]] = {location: set() for location in locations}
    for bucket, key, version_id, is_removal in rows:
        found[Location(bucket, key)].add((version_id, is_removal))
    return found


_UNKNOWN = text("""
SELECT DISTINCT t.bucket, t.key
FROM unnest(CAST(:buckets AS text[]), CAST(:keys AS text[]), CAST(:version_ids AS text[])) AS t (bucket, key, version_id)
WHERE NOT EXISTS (
    SELECT FROM object_versions AS v WHERE v.bucket = t.bucket AND v.key = t.key AND v.version_id = t.version_id)
""")


def unknown_of(session: Session, requests: Sequence[InspectionRequest]) -> list[Location]:
    """Where the versions are, of those that these name, of which nothing is known."""
    names = {
        "buckets": [request.bucket for request in requests],
        "keys": [request.key for request in requests],
        "version_ids": [request.version_id for request in requests],
    }
    return [Location(*row) for row in session.execute(_UNKNOWN, names)]


def _known(session: Session, *wanted: ColumnElement[bool]) -> Known:
    version = ObjectVersion
    columns = (
        *(version.put_rank, version.removal_rank, version.alive, version.is_delete_marker),
        *(version.size, version.etag, version.stored_at),
    )
    rows = session.execute(select(version.bucket, version.key, version.version_id, *columns).where(*wanted))
    found: dict[Location, list[KnownVersion]] = {}
    for row in rows.mappings():
        values = {field.name: row[field.name] for field in fields(KnownVersion)}
        found.setdefault(Location(row["bucket"], row["key"]), []).append(KnownVersion(**values))
    return {location: by_version(rows) for location, rows in found.items()}
