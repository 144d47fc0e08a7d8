"""The statements of `chalicelib.db.recording`."""

from sqlalchemy import text

from chalicelib.db.current_version import current_version
from chalicelib.db.engine import prepared_write
from chalicelib.db.owner_rules import HAS_RULES, RULES_OWNER
from chalicelib.db.retiring import LEFT_FOR_GOOD

_FILE_COLUMNS = """
        id, bucket, key, name, owner_id, state, version_id, rank, size, etag, media_type, detected_media_type, is_mismatch,
        sha256, stored_at, created_at, updated_at"""
# Only a new file gets an owner here, or one that comes where another was moved away. Nothing is looked up unless there are rules,
# or the key begins with what looks like a user's id: asking for each key would cost a batch a tenth of its time.
_OWNER = f"CASE WHEN t.default_owner IS NOT NULL OR {HAS_RULES} THEN ({RULES_OWNER}) END"
# An object that comes to a key whose file was removed permanently is a new file, if it belongs to somebody else than that one
# did: see `RETIRE_PURGED`. An audit may find that S3 still holds what was removed: that is older, and the file's own. The minute
# is for clocks that disagree.
_WAS_PURGED = "(f.state = 'deleted' AND f.purged_at >= f.updated_at)"
_IS_ANOTHERS = """(f.owner_id IS DISTINCT FROM {new}.owner_id
    AND coalesce({new}.stored_at > f.purged_at - interval '1 minute', true))"""
# Events carry no media type: a new upload has the announced one until its object is inspected.
_ON_KNOWN_FILE = """
    ON CONFLICT (key, bucket) DO UPDATE SET
        state = excluded.state, version_id = excluded.version_id, rank = excluded.rank, size = excluded.size,
        etag = excluded.etag,
        media_type = coalesce(
            excluded.media_type, CASE WHEN f.state = 'pending' AND excluded.state = 'stored' THEN f.media_type END),
        detected_media_type = excluded.detected_media_type,
        is_mismatch = excluded.is_mismatch, sha256 = excluded.sha256, stored_at = excluded.stored_at,
        updated_at = excluded.updated_at,
        -- What a moved file left may still show for a moment; another object there is a file like any other, and new.
        owner_id = CASE WHEN f.moved_to IS NOT NULL AND f.owner_id IS NULL AND excluded.state = 'stored'
            AND (f.version_id, f.etag) IS DISTINCT FROM (excluded.version_id, excluded.etag)
            THEN excluded.owner_id ELSE f.owner_id END,
        moved_to = CASE WHEN excluded.state <> 'stored' OR (f.version_id, f.etag) IS NOT DISTINCT FROM
            (excluded.version_id, excluded.etag) THEN f.moved_to END
    WHERE (f.state, f.version_id, f.rank) IS DISTINCT FROM (excluded.state, excluded.version_id, excluded.rank)
        -- A delete marker alone brings nothing back that was removed permanently.
        AND ({was_purged} AND (excluded.state <> 'stored' OR {is_anothers})) IS NOT true
    RETURNING new.id, new.bucket, new.key, old.state AS before, new.state AS after
""".replace("{was_purged}", _WAS_PURGED).replace("{is_anothers}", _IS_ANOTHERS.replace("{new}", "excluded"))
# Whether a row that was left as it is may be such a file.
_IS_PURGED = f"w.id IS NULL AND {_WAS_PURGED}"

# The guarded upsert: the maximum by rank, once for puts and once for removals. Greatest-rank-wins is commutative,
# associative and idempotent, so neither order nor repetition of batches matters. A put's payload travels with its rank.
# A removal that arrives first stays as a tombstone: the late put is merged, but doesn't outrank it.
# The purge's row ("*") is read here too, so that a put older than a known purge is recorded as removed.
# Of several changes of one version only one leads (see `_merge_row`), because ON CONFLICT may meet each row only once.
# Lookups in big tables are correlated subqueries here and in step 4, not joins. They can only run as one index probe
# for each key. For a join, a planner with stale statistics may choose to read the whole table.
# What inspection found is kept when the same bytes are put again, as by the event of an upload that we recorded
# ourselves. The inspection is requested again nevertheless, because the headers may differ.
# If a key's only change is a put, and nobody has heard of the key before, then this put is its current version, and its file
# follows from it. So it is with most keys of most batches: their files are written here, without step 4.
# They are written after all versions, as the lock order wants it; therefore the count of ``merged``. Where usage counts at
# once, triggers lock it when the statement ends, and step 4 must not lock files after that. So all files are written here then,
# or none.
# If every change is new, the answer says only that, and takes no joins to find out.
# A column in which all values are the usual one isn't sent, and takes that value here.
# ``generate_series`` numbers the changes, and makes the planner expect a thousand. Of arrays that it doesn't know, it expects ten
# elements, and would join them row by row.
MERGE = prepared_write(
    text(
        """
WITH incoming AS MATERIALIZED (
    SELECT i.*, i.is_alone AND (
        SELECT true FROM object_versions AS e WHERE e.bucket = i.bucket AND e.key = i.key LIMIT 1) IS NULL AS is_first
    FROM (
        SELECT coalesce(bucket, :bucket) AS bucket, key, coalesce(version_id, '') AS version_id, rank,
            coalesce(change, 'put') AS change, coalesce(event_name, :event_name) AS event_name, event_time, sequencer, size,
            etag, media_type, metadata, sha256, coalesce(is_event, true) AS is_event, coalesce(leads, true) AS leads,
            coalesce(removal_rank, '') AS removal_rank, coalesce(held_object, true) AS held_object, follows,
            coalesce(is_alone, true) AS is_alone, id, name, default_owner, place
    FROM ROWS FROM (
        unnest(CAST(:buckets AS text[])), unnest(CAST(:keys AS text[])), unnest(CAST(:version_ids AS text[])),
        unnest(CAST(:ranks AS text[])), unnest(CAST(:changes AS text[])), unnest(CAST(:event_names AS text[])),
        unnest(CAST(:event_times AS timestamptz[])), unnest(CAST(:sequencers AS text[])), unnest(CAST(:sizes AS bigint[])),
        unnest(CAST(:etags AS text[])), unnest(CAST(:media_types AS text[])), unnest(CAST(:metadata AS jsonb[])),
        unnest(CAST(:sha256s AS text[])), unnest(CAST(:are_events AS boolean[])), unnest(CAST(:leads AS boolean[])),
        unnest(CAST(:removal_ranks AS text[])), unnest(CAST(:held_objects AS boolean[])), unnest(CAST(:follows AS text[])),
        unnest(CAST(:are_alone AS boolean[])), unnest(CAST(:ids AS uuid[])), unnest(CAST(:names AS text[])),
        unnest(CAST(:default_owners AS uuid[])), generate_series(1, CAST(:count AS int))
    ) AS i (
        bucket, key, version_id, rank, change, event_name, event_time, sequencer, size, etag, media_type, metadata, sha256,
        is_event, leads, removal_rank, held_object, follows, is_alone, id, name, default_owner, place)) AS i
), way AS MATERIALIZED (
    SELECT bool_and(is_first) OR coalesce(current_setting('landfall.usage', true) = 'later', false) AS is_short
    FROM incoming
), merged AS (
    INSERT INTO object_versions AS v (
        bucket, key, version_id, put_rank, removal_rank, held_object, is_delete_marker, follows,
        size, etag, stored_at, media_type, inspection, inspect_after)
    SELECT i.bucket, i.key, i.version_id,
        CASE WHEN i.change IN ('put', 'marker') THEN i.rank ELSE '' END,
        CASE WHEN i.is_first THEN '' ELSE greatest(
            CASE WHEN i.change IN ('put', 'marker') THEN i.removal_rank ELSE i.rank END, (
                SELECT p.removal_rank FROM object_versions AS p
                WHERE p.bucket = i.bucket AND p.key = i.key AND p.version_id = '*')) END,
        i.held_object, i.change = 'marker', i.follows, i.size, i.etag,
        CASE WHEN i.change IN ('put', 'marker') THEN i.event_time END, i.media_type,
        nullif(jsonb_strip_nulls(jsonb_build_object('metadata', i.metadata, 'sha256', i.sha256)), '{}'),
        CASE WHEN i.change = 'put' THEN CAST(:now AS timestamptz) END
    FROM incoming AS i
    WHERE i.leads
    ON CONFLICT (bucket, key, version_id) DO UPDATE SET
        put_rank = greatest(v.put_rank, excluded.put_rank),
        removal_rank = greatest(v.removal_rank, excluded.removal_rank),
        held_object = v.held_object OR excluded.held_object,
        is_delete_marker = CASE WHEN excluded.put_rank > v.put_rank THEN excluded.is_delete_marker
                           ELSE v.is_delete_marker END,
        follows = CASE WHEN excluded.put_rank > v.put_rank THEN excluded.follows ELSE v.follows END,
        size = CASE WHEN excluded.put_rank > v.put_rank THEN excluded.size ELSE v.size END,
        etag = CASE WHEN excluded.put_rank > v.put_rank THEN excluded.etag ELSE v.etag END,
        stored_at = CASE WHEN excluded.put_rank > v.put_rank THEN excluded.stored_at ELSE v.stored_at END,
        media_type = CASE WHEN excluded.put_rank <= v.put_rank THEN v.media_type
                     WHEN (excluded.etag, excluded.size) = (v.etag, v.size)
                     THEN coalesce(excluded.media_type, v.media_type) ELSE excluded.media_type END,
        inspection = CASE WHEN excluded.put_rank <= v.put_rank THEN v.inspection
                     WHEN (excluded.etag, excluded.size) = (v.etag, v.size)
                     THEN coalesce(excluded.inspection, v.inspection) ELSE excluded.inspection END,
        inspect_after = CASE WHEN excluded.put_rank > v.put_rank THEN excluded.inspect_after ELSE v.inspect_after END,
        inspect_tries = CASE WHEN excluded.put_rank > v.put_rank THEN 0 ELSE v.inspect_tries END,
        inspect_problem = CASE WHEN excluded.put_rank <= v.put_rank THEN v.inspect_problem END
    WHERE excluded.put_rank > v.put_rank OR excluded.removal_rank > v.removal_rank
        OR (excluded.held_object AND NOT v.held_object)
    RETURNING new.bucket, new.key, new.version_id, new.put_rank, new.removal_rank, old.key IS NULL AS is_new
), recorded AS (
    INSERT INTO file_events (
        bucket, key, rank, version_id, event_time, change, event_name, sequencer, size, etag, recorded_at)
    SELECT i.bucket, i.key, i.rank, i.version_id, coalesce(i.event_time, 'epoch'), i.change, i.event_name,
        i.sequencer, i.size, i.etag, :now
    FROM incoming AS i
    WHERE i.is_event
    ON CONFLICT DO NOTHING
    RETURNING bucket, key, rank, version_id
), written AS (
    INSERT INTO files AS f ({file_columns})
    SELECT t.id, t.bucket, t.key, t.name, {owner}, 'stored', t.version_id, t.rank, t.size, t.etag, t.media_type, NULL, false,
        t.sha256, t.event_time, :now, :now
    FROM incoming AS t
    WHERE t.is_first AND (SELECT is_short FROM way) AND (SELECT count(*) FROM merged) > 0
{on_known_file}
)
SELECT CASE WHEN NOT (
        (SELECT count(*) FROM recorded) = :events
        AND (SELECT count(*) FROM merged WHERE is_new AND removal_rank = '') = :count) THEN (
        SELECT json_build_array(json_agg(i.place), json_agg(i.place) FILTER (WHERE i.rank IN (m.put_rank, m.removal_rank)))
        FROM incoming AS i
        JOIN recorded AS r ON r.bucket = i.bucket AND r.key = i.key AND r.rank = i.rank AND r.version_id = i.version_id
        LEFT JOIN merged AS m ON m.bucket = i.bucket AND m.key = i.key AND m.version_id = i.version_id) END AS news,
    (SELECT json_agg(i.place) FROM incoming AS i WHERE NOT (i.is_first AND (SELECT is_short FROM way))) AS rest,
    CASE WHEN (SELECT count(*) FROM written WHERE before IS NULL) < (
        SELECT count(*) FROM incoming WHERE is_first AND (SELECT is_short FROM way)) THEN (
        SELECT json_agg(json_build_array(
            t.place, coalesce(w.id, f.id), coalesce(w.before, f.state), coalesce(w.after, f.state), {is_purged}))
        FROM incoming AS t
        LEFT JOIN written AS w ON w.key = t.key AND w.bucket = t.bucket
        LEFT JOIN LATERAL (
            SELECT * FROM files AS b WHERE w.id IS NULL AND b.key = t.key AND b.bucket = t.bucket LIMIT 1) AS f ON true
        WHERE t.is_first AND (w.id IS NULL OR w.before IS NOT NULL)) END AS files
""".replace("{file_columns}", _FILE_COLUMNS)
        .replace("{owner}", _OWNER)
        .replace("{on_known_file}", _ON_KNOWN_FILE)
        .replace("{is_purged}", _IS_PURGED)
    )
)

# Step 2 applied the purges of earlier batches; this applies the purges of this batch to the versions already there.
PURGE = text("""
UPDATE object_versions AS v SET removal_rank = p.removal_rank
FROM object_versions AS p
JOIN unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS t (bucket, key) ON p.bucket = t.bucket AND p.key = t.key
WHERE p.version_id = '*' AND v.bucket = p.bucket AND v.key = p.key AND v.removal_rank < p.removal_rank
""")

# The file is `stored` when the current version is a real object, else `deleted`, with nothing of the object left in its
# columns: they must follow from the set of changes alone. A key that never held an object gets no file, but an upload that
# waits for its object has one already, and stays `pending` until then.
# The answer comes as one JSON value: the driver decodes a thousand rows ten times slower. It leaves out the keys that have
# got a new, stored file, with the id that was offered.
CURRENT = prepared_write(
    text(
        """
WITH touched AS MATERIALIZED (
    SELECT * FROM ROWS FROM (
        unnest(CAST(:buckets AS text[])), unnest(CAST(:keys AS text[])), unnest(CAST(:ids AS uuid[])),
        unnest(CAST(:names AS text[])), unnest(CAST(:default_owners AS uuid[])), generate_series(1, CAST(:count AS int))
    ) AS t (bucket, key, id, name, default_owner, place)
), written AS (
    INSERT INTO files AS f ({file_columns})
    SELECT t.id, t.bucket, t.key, t.name, {owner},
        CASE WHEN v.is_object THEN 'stored' ELSE 'deleted' END,
        CASE WHEN v.is_object THEN v.version_id END, coalesce(v.put_rank, ''),
        CASE WHEN v.is_object THEN v.size END, CASE WHEN v.is_object THEN v.etag END,
        CASE WHEN v.is_object THEN v.media_type END, CASE WHEN v.is_object THEN v.inspection ->> 'detected_media_type' END,
        v.is_object AND coalesce(CAST(v.inspection -> 'is_mismatch' AS boolean), false),
        CASE WHEN v.is_object THEN v.inspection ->> 'sha256' END, CASE WHEN v.is_object THEN v.stored_at END, :now, :now
    FROM touched AS t
    LEFT JOIN LATERAL (SELECT c.*, NOT c.is_delete_marker AS is_object FROM ({current}) AS c) AS v ON true
    WHERE v.is_object OR (
        SELECT true FROM object_versions AS h
        WHERE h.bucket = t.bucket AND h.key = t.key AND h.held_object LIMIT 1)
{on_known_file}
)
SELECT json_agg(json_build_array(
    t.place, coalesce(w.id, f.id), coalesce(w.before, f.state), coalesce(w.after, f.state), {is_purged}))
FROM touched AS t
LEFT JOIN written AS w ON w.key = t.key AND w.bucket = t.bucket
LEFT JOIN LATERAL (
    SELECT * FROM files AS b WHERE w.id IS NULL AND b.key = t.key AND b.bucket = t.bucket LIMIT 1) AS f ON true
WHERE (w.before IS NULL AND w.after = 'stored') IS NOT true
""".replace("{file_columns}", _FILE_COLUMNS)
        .replace("{owner}", _OWNER)
        .replace("{on_known_file}", _ON_KNOWN_FILE)
        .replace("{is_purged}", _IS_PURGED)
        .replace("{current}", current_version("t.bucket", "t.key"))
    )
)

# There may be a delete marker above it.
_NEWEST_OBJECT = """
    SELECT o.version_id, o.stored_at FROM object_versions AS o
    WHERE o.bucket = t.bucket AND o.key = t.key AND o.alive AND NOT o.is_delete_marker
    ORDER BY o.put_rank DESC LIMIT 1
"""
# The purged files at these keys whose keys have got an object that belongs to somebody else. They go, so that the object's file
# is a new one: with the row, the object would go to the former owner, into its session, and to whoever has its links.
RETIRE_PURGED = text(
    """
WITH gone AS (
    DELETE FROM files AS f USING (
        SELECT t.bucket, t.key, v.stored_at, {owner} AS owner_id
        FROM ROWS FROM (
            unnest(CAST(:buckets AS text[])), unnest(CAST(:keys AS text[])), unnest(CAST(:default_owners AS uuid[]))
        ) AS t (bucket, key, default_owner)
        CROSS JOIN LATERAL ({newest}) AS v) AS n
    WHERE f.key = n.key AND f.bucket = n.bucket AND {was_purged} AND {is_anothers}
    RETURNING f.id, f.bucket, f.key, f.updated_at, f.purged_at
)
{left_for_good}
RETURNING key
""".replace("{owner}", _OWNER)
    .replace("{newest}", _NEWEST_OBJECT)
    .replace("{was_purged}", _WAS_PURGED)
    .replace("{is_anothers}", _IS_ANOTHERS.replace("{new}", "n"))
    .replace("{left_for_good}", LEFT_FOR_GOOD)
)

# The others that have an object of their own again: they are in the trash, if not stored.
REVIVE_PURGED = text(
    """
UPDATE files AS f SET updated_at = :now
FROM unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS t (bucket, key)
CROSS JOIN LATERAL ({newest}) AS v
WHERE f.key = t.key AND f.bucket = t.bucket AND {was_purged} AND file_of_version(t.bucket, t.key, v.version_id) = f.id
""".replace("{newest}", _NEWEST_OBJECT).replace("{was_purged}", _WAS_PURGED)
)
