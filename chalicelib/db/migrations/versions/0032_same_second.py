"""Whose a version is that was stored in the same second as the one that a file has left.

What S3 is asked for tells seconds, an event tells milliseconds. So a version of half past a second counted as younger than what
replaced it within that second, if that, or its delete marker, had been asked for: it went to the next file at the key, and who
has that saw its size and its times.

Revision ID: 0032
"""

from alembic import op

revision = "0032"
down_revision = "0031"

# As in revision 0029, but for what is compared with the time of what was left.
_OF_VERSION = """
CREATE OR REPLACE FUNCTION file_of_version(of_bucket text, of_key text, of_version text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT coalesce((
        SELECT p.file_id FROM (
            SELECT o.* FROM object_versions AS v
            CROSS JOIN LATERAL (
                SELECT v.* WHERE NOT v.is_delete_marker
                UNION ALL
                SELECT * FROM (
                    SELECT b.* FROM object_versions AS b
                    WHERE v.is_delete_marker AND b.bucket = of_bucket AND b.key = of_key AND (
                        b.version_id = v.version_id OR NOT b.is_delete_marker AND b.put_rank <> ''
                        AND (b.put_rank < v.put_rank OR b.version_id = v.follows))
                    ORDER BY b.is_delete_marker, coalesce(b.version_id = v.follows, false) DESC, b.put_rank DESC
                    LIMIT 1) AS beneath) AS o
            WHERE v.bucket = of_bucket AND v.key = of_key AND v.version_id = of_version) AS o
        JOIN file_places AS p ON p.bucket = o.bucket AND p.key = o.key
        LEFT JOIN object_versions AS l ON l.bucket = p.bucket AND l.key = p.key AND l.version_id = p.version_id
        WHERE CASE WHEN p.version_id IS NULL THEN coalesce(o.stored_at <= p.moved_at, true)
            WHEN o.version_id = p.version_id THEN o.version_id <> '' OR (
                o.etag IS NOT DISTINCT FROM p.etag AND coalesce(date_trunc('second', o.stored_at) <= p.stored_at, true))
            ELSE coalesce({stored_at} <= p.stored_at, true) AND o.put_rank < coalesce(l.put_rank, '') END
        ORDER BY p.moved_at LIMIT 1), (
        SELECT f.id FROM files AS f WHERE f.key = of_key AND f.bucket = of_bucket))
$$
"""


def upgrade() -> None:
    _compare("date_trunc('second', o.stored_at)")


def downgrade() -> None:
    _compare("o.stored_at")


def _compare(stored_at: str) -> None:
    schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    op.execute(_OF_VERSION.replace("{schema}", schema).replace("{stored_at}", stored_at))
