"""Taking back removals that never were."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.catalog.comparison import KnownVersion
from chalicelib.catalog.objects import Location

# The merge never lowers a rank. This is the one exception: S3 was asked, and holds the version.
_REVIVE = text("""
UPDATE object_versions AS v SET removal_rank = ''
FROM unnest(
    CAST(:buckets AS text[]), CAST(:keys AS text[]), CAST(:version_ids AS text[]), CAST(:ranks AS text[])
) AS t (bucket, key, version_id, removal_rank)
WHERE v.bucket = t.bucket AND v.key = t.key AND v.version_id = t.version_id AND v.removal_rank = t.removal_rank
""")


def revive(session: Session, versions: Sequence[tuple[Location, KnownVersion]]) -> None:
    """Forget the removals of versions by their ids, if they are still those that are known here.

    The caller holds the locks of their keys, and records their puts afterwards, which makes the files current.
    """
    if versions:
        values = {
            "buckets": [location.bucket for location, _ in versions],
            "keys": [location.key for location, _ in versions],
            "version_ids": [row.version_id for _, row in versions],
            "ranks": [row.removal_rank for _, row in versions],
        }
        session.execute(_REVIVE, values)
