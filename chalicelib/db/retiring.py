"""Files that give their keys to others, and go. What was at the key until then stays theirs, and is nobody's to see any more."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.catalog.objects import Location
from chalicelib.db.arrays import plain

# As if the file had moved away when it was deleted: see `file_of_version` in the migration 0029. Nothing is alive of what it has
# left, so what is alive there is another's already. Delete markers belong to what lies beneath them. Where objects have no
# version ids, the row of the versions is the other's by now; then only the events are this file's, and no object is like the one
# that it is said to have left. The minute is for clocks that disagree: better nobody sees a version than the next owner.
LEFT_FOR_GOOD = """
INSERT INTO file_places (file_id, moved_at, bucket, key, version_id, etag, stored_at)
SELECT g.id, greatest(g.updated_at, g.purged_at), g.bucket, g.key, coalesce(v.version_id, ''), v.etag,
    CASE WHEN v.key IS NULL THEN CAST('epoch' AS timestamptz) ELSE v.stored_at END
FROM gone AS g
LEFT JOIN LATERAL (
    SELECT * FROM object_versions AS o
    WHERE o.bucket = g.bucket AND o.key = g.key AND NOT o.alive AND NOT o.is_delete_marker AND o.put_rank <> ''
        AND o.version_id <> '*' AND coalesce(o.stored_at <= greatest(g.updated_at, g.purged_at) + interval '1 minute', true)
    ORDER BY o.put_rank DESC LIMIT 1) AS v ON true
"""
_RETIRE = text(f"""
WITH gone AS (
    DELETE FROM files WHERE id = ANY(CAST(:ids AS uuid[])) AND state = 'deleted'
    RETURNING id, bucket, key, updated_at, purged_at
)
{LEFT_FOR_GOOD}
""")  # noqa: S608 - no values
_HOLDS = text("""
SELECT EXISTS (
    SELECT FROM object_versions WHERE bucket = :bucket AND key = :key AND alive AND NOT is_delete_marker
        AND file_of_version(bucket, key, version_id) IS DISTINCT FROM CAST(:file_id AS uuid))
""")


def retire(session: Session, file_ids: Collection[UUID]) -> None:
    """Let tombstones go, with all that leads to them. Their keys are locked, and S3 holds no object of theirs."""
    session.execute(_RETIRE, {"ids": plain(file_ids)})


def holds_anothers(session: Session, location: Location, file_id: UUID) -> bool:
    """Whether S3 holds an object of any file but this one at a location, if only behind a delete marker."""
    bound = {"bucket": location.bucket, "key": location.key, "file_id": file_id}
    return bool(session.execute(_HOLDS, bound).scalar_one())
