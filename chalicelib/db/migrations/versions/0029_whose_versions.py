"""Whose a version is, or an event, at a key that a file has left.

Until now everything at a key belonged to the file there, also what an earlier file had left. And owner rules gave away the
tombstones of moved files: these are nobody's again.

Places, and the tombstones at them, stay when their file goes: what it has left must not become another's.

Revision ID: 0029
"""

from alembic import op

revision = "0029"
down_revision = "0028"

# A version belongs to the file that was the first to leave the key after it, else to the file that is there. A file leaves one
# version (`file_places`), and takes along what ranks below that and was stored no later. Both are compared, as an observation
# ranks low. The rank is looked up anew, because the event of the version may have raised it. Where objects have no version ids,
# the row may hold another object by now: that has another ETag, or was stored in a later second. If it isn't known what a file
# has left, as of moves before revision 0006, only the time decides.
# A delete marker belongs to whom the object belongs that it hides: a move leaves one that is younger than what it has left.
_OF_VERSION = """
CREATE FUNCTION file_of_version(of_bucket text, of_key text, of_version text) RETURNS uuid
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
            ELSE coalesce(o.stored_at <= p.stored_at, true) AND o.put_rank < coalesce(l.put_rank, '') END
        ORDER BY p.moved_at LIMIT 1), (
        SELECT f.id FROM files AS f WHERE f.key = of_key AND f.bucket = of_bucket))
$$
"""
# An event belongs to whom its version belongs. If it names none, its time decides.
_OF_EVENT = """
CREATE FUNCTION file_of_event(of_bucket text, of_key text, of_version text, at timestamptz) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT CASE WHEN of_version NOT IN ('', '*') THEN file_of_version(of_bucket, of_key, of_version) ELSE coalesce((
        SELECT p.file_id FROM file_places AS p
        WHERE p.bucket = of_bucket AND p.key = of_key AND at <= p.moved_at
        ORDER BY p.moved_at LIMIT 1), (
        SELECT f.id FROM files AS f WHERE f.key = of_key AND f.bucket = of_bucket)) END
$$
"""
_TRAIL = """
CREATE OR REPLACE VIEW trail AS
SELECT a.at, CAST(a.id AS text) COLLATE "C" AS id, a.actor_id, a.key_id, a.via, a.act, a.file_id, a.owner_id,
    a.subject_id, a.request_id
FROM acts AS a
UNION ALL
SELECT coalesce(nullif(e.event_time, 'epoch'), e.recorded_at), CAST(e.id AS text) COLLATE "C", NULL, NULL, 'event',
    e.change, l.file_id, l.owner_id, NULL, NULL
"""
# The tombstone that a moved file has left has no events of its own.
_TRAIL_NOW = f"""{_TRAIL}
FROM (
    SELECT f.id AS file_id, f.owner_id, f.bucket, f.key, true AS is_present FROM files AS f WHERE f.moved_to IS NULL
    UNION ALL
    SELECT p.file_id, f.owner_id, p.bucket, p.key, false
    FROM (SELECT DISTINCT file_id, bucket, key FROM file_places) AS p JOIN files AS f ON f.id = p.file_id
    WHERE (f.bucket, f.key) <> (p.bucket, p.key)) AS l
JOIN file_events AS e ON e.bucket = l.bucket AND e.key = l.key AND (
    l.is_present AND NOT EXISTS (SELECT FROM file_places AS p WHERE p.key = e.key AND p.bucket = e.bucket)
    OR file_of_event(e.bucket, e.key, e.version_id, e.event_time) = l.file_id)
"""  # noqa: S608 - no values
_TRAIL_BEFORE = f"""{_TRAIL}
FROM (
    SELECT f.id AS file_id, f.owner_id, f.bucket, f.key, CAST('infinity' AS timestamptz) AS until
    FROM files AS f WHERE f.moved_to IS NULL
    UNION ALL
    SELECT p.file_id, f.owner_id, p.bucket, p.key, p.moved_at
    FROM file_places AS p JOIN files AS f ON f.id = p.file_id) AS l
JOIN file_events AS e ON e.bucket = l.bucket AND e.key = l.key AND e.event_time <= l.until
"""  # noqa: S608 - no values
_TAKE_BACK = """
UPDATE files SET owner_id = NULL, session_id = NULL
WHERE moved_to IS NOT NULL AND owner_id IS NOT NULL AND state = 'deleted'
"""


def upgrade() -> None:
    # In the order in which requests read these tables: what waits for one must not hold another that they go on to.
    op.execute("ALTER TABLE files DROP CONSTRAINT files_moved_to_fkey")
    op.execute("ALTER TABLE file_places DROP CONSTRAINT file_places_file_id_fkey")
    schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    for statement in (_OF_VERSION, _OF_EVENT):
        op.execute(statement.replace("{schema}", schema))
    op.execute(_TRAIL_NOW)
    op.execute(_TAKE_BACK)


def downgrade() -> None:
    op.execute("DELETE FROM file_places AS p WHERE NOT EXISTS (SELECT FROM files AS f WHERE f.id = p.file_id)")
    op.execute("""
        UPDATE files AS t SET moved_to = NULL
        WHERE moved_to IS NOT NULL AND NOT EXISTS (SELECT FROM files AS f WHERE f.id = t.moved_to)""")
    op.execute("""
        ALTER TABLE file_places ADD CONSTRAINT file_places_file_id_fkey FOREIGN KEY (file_id) REFERENCES files (id)
        ON DELETE CASCADE""")
    op.execute("""
        ALTER TABLE files ADD CONSTRAINT files_moved_to_fkey FOREIGN KEY (moved_to) REFERENCES files (id)
        ON DELETE SET NULL""")
    op.execute(_TRAIL_BEFORE)
    op.execute("DROP FUNCTION file_of_event(text, text, text, timestamptz)")
    op.execute("DROP FUNCTION file_of_version(text, text, text)")
