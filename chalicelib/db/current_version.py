"""The one definition of a key's current version, as SQL. Every query that needs the current version uses it."""

# The current version is the alive version of highest put rank: one index lookup for each key. There is one exception.
#
# A caller may delete an upload before its event comes, or restore a file that was deleted a moment ago. We then record
# an observation, whose rank is low. When the event of the earlier change comes, it ranks above the observation,
# although it is older. Until the event of the later change comes as well, `follows` says which of the two is later.
# Several changes may follow each other, so the chain is walked to its end. S3 gives each version id once, except for
# the empty one of unversioned buckets. Empty ids could form a circle, so the number of steps is bounded. And another object may
# have come in place of the one that was followed: a version that is older than that doesn't follow it. (Listed times are whole
# seconds.)
#
# Hardly any key has a version that follows another one. Walking costs twice as much as the rest, so it is left out then.
_CURRENT = """
SELECT picked.* FROM (
    SELECT * FROM object_versions AS c
    WHERE c.bucket = {bucket} AND c.key = {key} AND c.alive
    ORDER BY c.put_rank DESC, c.version_id DESC
    LIMIT 1) AS top
CROSS JOIN LATERAL (
    SELECT top.*, 0 AS steps WHERE NOT EXISTS ({followers})
    UNION ALL
    SELECT * FROM (
        WITH RECURSIVE later AS (
            SELECT top.*, 0 AS steps
            UNION ALL
            SELECT m.*, l.steps + 1 FROM later AS l CROSS JOIN LATERAL (
                SELECT * FROM object_versions AS m
                WHERE m.bucket = {bucket} AND m.key = {key} AND m.alive
                    AND m.follows = l.version_id AND m.version_id <> l.version_id
                    AND (l.version_id <> '' OR coalesce(m.stored_at >= date_trunc('second', l.stored_at), true))
                ORDER BY m.put_rank DESC, m.version_id DESC
                LIMIT 1) AS m
            WHERE l.steps < 1000)
        SELECT * FROM later ORDER BY steps DESC LIMIT 1) AS last
    WHERE EXISTS ({followers})) AS picked"""
_FOLLOWERS = "SELECT FROM object_versions AS e WHERE e.bucket = {bucket} AND e.key = {key} AND e.follows IS NOT NULL"


def current_version(bucket: str, key: str) -> str:
    """A query for the row of ``object_versions`` that is current at a key; ``bucket`` and ``key`` are SQL expressions."""
    return _CURRENT.replace("{followers}", _FOLLOWERS).format(bucket=bucket, key=key)
