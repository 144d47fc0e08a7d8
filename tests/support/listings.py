"""The versions of a bucket, as S3 and as the catalogue list them, in one shape.

Each is (key, version id, size, ETag, whether it is the latest, whether it is a delete marker).
"""

from typing import Any

from sqlalchemy import Engine, text

_ALIVE = text("""
SELECT v.key, v.version_id, CASE WHEN NOT v.is_delete_marker THEN v.size END,
    CASE WHEN NOT v.is_delete_marker THEN v.etag END,
    v.put_rank = max(v.put_rank) OVER (PARTITION BY v.key), v.is_delete_marker
FROM object_versions AS v WHERE v.bucket = :bucket AND v.alive
""")


def listed_by_s3(s3: Any, bucket: str) -> set[tuple[Any, ...]]:
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
    found: set[tuple[Any, ...]] = set()
    for page in pages:
        found |= {
            (v["Key"], _version_id(v), v["Size"], v["ETag"].strip('"'), v["IsLatest"], False)
            for v in page.get("Versions", [])
        }
        found |= {(m["Key"], _version_id(m), None, None, m["IsLatest"], True) for m in page.get("DeleteMarkers", [])}
    return found


def listed_by_catalogue(engine: Engine, bucket: str) -> set[tuple[Any, ...]]:
    with engine.connect() as connection:
        return {tuple(row) for row in connection.execute(_ALIVE, {"bucket": bucket})}


def _version_id(entry: dict[str, Any]) -> str:
    """Empty for an object without versions, as the catalogue has it."""
    return str(entry["VersionId"]).replace("null", "")
