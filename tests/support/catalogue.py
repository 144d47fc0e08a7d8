"""Reads the catalogue's tables back, in the shape of `tests.support.histories.Model`."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import Kind, ObjectChange
from tests.support.histories import Model

_VERSIONS = text("""
SELECT bucket, key, version_id, put_rank, is_delete_marker, size, etag FROM object_versions
WHERE alive AND bucket = ANY(:buckets)
""")
_FILES = text("""
SELECT bucket, key, state, version_id, rank, size, etag, count(*) OVER (PARTITION BY bucket, key) AS copies
FROM files WHERE bucket = ANY(:buckets)
""")
_EVENTS = text("SELECT bucket, key, version_id, rank FROM file_events WHERE bucket = ANY(:buckets)")


def assert_catalogue_equals(session: Session, buckets: list[str], model: Model) -> None:
    """The tables hold what the model holds for these buckets, no more and no less."""
    alive = {
        (row.bucket, row.key, row.version_id): (row.put_rank, row.is_delete_marker, row.size, row.etag or "")
        for row in session.execute(_VERSIONS, {"buckets": buckets})
    }
    expected_alive = {
        (bucket, key, version_id): (change.rank, change.kind is Kind.MARKER, change.size, change.etag)
        for (bucket, key), versions in model.versions.items()
        for version_id, change in versions.items()
    }
    assert alive == expected_alive
    files = {(row.bucket, row.key): _file(row) for row in session.execute(_FILES, {"buckets": buckets})}
    assert files == {name: _expected_file(change) for name, change in model.files.items()}
    events = [tuple(row) for row in session.execute(_EVENTS, {"buckets": buckets})]
    assert len(events) == len(set(events))
    assert set(events) == model.events


def _file(row: Any) -> tuple[Any, ...]:
    assert row.copies == 1
    if row.state == "deleted":
        assert row.size is None
        assert row.etag is None
        return ("deleted",)
    return (row.state, row.version_id, row.rank, row.size, row.etag)


def _expected_file(change: ObjectChange | None) -> tuple[Any, ...]:
    if change is None:
        return ("deleted",)
    return ("stored", change.version_id, change.rank, change.size, change.etag)
