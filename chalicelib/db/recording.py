"""Recording: a batch of object changes into the three tables, in a constant handful of statements.

1. `locks.lock_keys`: the keys of the batch, in one order.
2. `_MERGE`: versions and events. One statement, because neither part reads what the other writes.
3. `_PURGE`: only if the batch purges whole keys.
4. `_CURRENT`: the current version of every key touched, from what is now in the table.

Each step must be a statement of its own, because a statement sees only what was committed, or written by earlier steps,
when it began. If step 4 waited for the locks itself, two batches that each add a version to one key could both miss the
other's. And in one statement with step 2, it would not see what step 2 writes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import Kind, ObjectChange
from chalicelib.catalog.keys import display_name
from chalicelib.catalog.merge import fold
from chalicelib.db.arrays import plain, rare_texts, texts
from chalicelib.db.current_version import current_version
from chalicelib.db.engine import prepared_write
from chalicelib.db.locks import lock_keys
from chalicelib.db.owner_rules import HAS_RULES, RULES_OWNER, default_owner
from chalicelib.ids import uuid7_texts

# A file's id, its state before the batch, and after; None where there is no file.
_FileStates = tuple[str | None, str | None, str | None]
Outcome = Literal["created", "updated", "deleted", "stale", "duplicate"]

_CHANGE_NAMES = {kind: kind.name.lower() for kind in Kind}


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of one change.

    Attributes:
        file_id: None if the key has no file: it never held an object that Landfall heard of.
        outcome: ``duplicate``: this very change was recorded before. ``stale``: a later change of the same version is
            known, so it changed nothing. Else what it did to the file.
    """

    change: ObjectChange
    file_id: str | None
    outcome: Outcome


# The guarded upsert: the maximum by rank, once for puts and once for removals. Greatest-rank-wins is commutative,
# associative and idempotent, so neither order nor repetition of batches matters. A put's payload travels with its rank.
# A removal that arrives first stays as a tombstone: the late put is merged, but doesn't outrank it.
# The purge's row ("*") is read here too, so that a put older than a known purge is recorded as removed.
# Of several changes of one version only one leads (see `_merge_row`), because ON CONFLICT may meet each row only once.
# Lookups in big tables are correlated subqueries here and in step 4, not joins. They can only run as one index probe
# for each key. For a join, a planner with stale statistics may choose to read the whole table.
# What inspection found is kept when the same bytes are put again, as by the event of an upload that we recorded
# ourselves. The inspection is requested again nevertheless, because the headers may differ.
_MERGE = text("""
WITH incoming AS MATERIALIZED (
    SELECT * FROM unnest(
        CAST(:buckets AS text[]), CAST(:keys AS text[]), CAST(:version_ids AS text[]), CAST(:ranks AS text[]),
        CAST(:changes AS text[]), CAST(:event_names AS text[]), CAST(:event_times AS timestamptz[]),
        CAST(:sequencers AS text[]), CAST(:sizes AS bigint[]), CAST(:etags AS text[]), CAST(:media_types AS text[]),
        CAST(:metadata AS jsonb[]), CAST(:sha256s AS text[]), CAST(:are_events AS boolean[]), CAST(:leads AS boolean[]),
        CAST(:removal_ranks AS text[]), CAST(:held_objects AS boolean[]), CAST(:follows AS text[])
    ) WITH ORDINALITY AS i (
        bucket, key, version_id, rank, change, event_name, event_time, sequencer, size, etag, media_type, metadata, sha256,
        is_event, leads, removal_rank, held_object, follows, place)
), merged AS (
    INSERT INTO object_versions AS v (
        bucket, key, version_id, put_rank, removal_rank, held_object, is_delete_marker, follows,
        size, etag, stored_at, media_type, inspection, inspect_after)
    SELECT i.bucket, i.key, i.version_id,
        CASE WHEN i.change IN ('put', 'marker') THEN i.rank ELSE '' END,
        greatest(CASE WHEN i.change IN ('put', 'marker') THEN i.removal_rank ELSE i.rank END, (
            SELECT p.removal_rank FROM object_versions AS p
            WHERE p.bucket = i.bucket AND p.key = i.key AND p.version_id = '*')),
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
    RETURNING bucket, key, version_id, put_rank, removal_rank
), recorded AS (
    INSERT INTO file_events (
        bucket, key, rank, version_id, event_time, change, event_name, sequencer, size, etag, recorded_at)
    SELECT i.bucket, i.key, i.rank, i.version_id, coalesce(i.event_time, 'epoch'), i.change, i.event_name,
        i.sequencer, i.size, i.etag, :now
    FROM incoming AS i
    WHERE i.is_event
    ON CONFLICT DO NOTHING
    RETURNING bucket, key, rank, version_id
)
SELECT json_agg(i.place) AS fresh,
    json_agg(i.place) FILTER (WHERE i.rank IN (m.put_rank, m.removal_rank)) AS effective
FROM incoming AS i
JOIN recorded AS r ON r.bucket = i.bucket AND r.key = i.key AND r.rank = i.rank AND r.version_id = i.version_id
LEFT JOIN merged AS m ON m.bucket = i.bucket AND m.key = i.key AND m.version_id = i.version_id
""")

# Step 2 applied the purges of earlier batches; this applies the purges of this batch to the versions already there.
_PURGE = text("""
UPDATE object_versions AS v SET removal_rank = p.removal_rank
FROM object_versions AS p
JOIN unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS t (bucket, key) ON p.bucket = t.bucket AND p.key = t.key
WHERE p.version_id = '*' AND v.bucket = p.bucket AND v.key = p.key AND v.removal_rank < p.removal_rank
""")

# The file is `stored` when the current version is a real object, else `deleted`, with nothing of the object left in its
# columns: they must follow from the set of changes alone. A key that never held an object gets no file, but an upload that
# waits for its object has one already, and stays `pending` until then.
# The answer comes as one JSON value: the driver decodes a thousand rows ten times slower. It leaves out the keys that have
# got a new, stored file, with the id that was offered: that is most of them.
# Events carry no media type: a new upload has the announced one until its object is inspected.
# Only a new file gets an owner here, or one that comes where another was moved away. Nothing is looked up unless there are rules,
# or the key begins with what looks like a user's id: asking for each key would cost a batch a tenth of its time.
_CURRENT = text(
    """
WITH touched AS MATERIALIZED (
    SELECT * FROM unnest(
        CAST(:buckets AS text[]), CAST(:keys AS text[]), CAST(:ids AS uuid[]), CAST(:names AS text[]),
        CAST(:default_owners AS uuid[])
    ) WITH ORDINALITY AS t (bucket, key, id, name, default_owner, place)
), written AS (
    INSERT INTO files AS f (
        id, bucket, key, name, owner_id, state, version_id, rank, size, etag, media_type, detected_media_type, is_mismatch,
        sha256, stored_at, created_at, updated_at)
    SELECT t.id, t.bucket, t.key, t.name,
        CASE WHEN t.default_owner IS NOT NULL OR {has_rules} THEN ({rules_owner}) END,
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
    RETURNING new.id, new.bucket, new.key, old.state AS before, new.state AS after
)
SELECT json_agg(json_build_array(
    t.place, coalesce(w.id, f.id), coalesce(w.before, f.state), coalesce(w.after, f.state)))
FROM touched AS t
LEFT JOIN written AS w ON w.key = t.key AND w.bucket = t.bucket
LEFT JOIN LATERAL (
    SELECT * FROM files AS b WHERE w.id IS NULL AND b.key = t.key AND b.bucket = t.bucket LIMIT 1) AS f ON true
WHERE (w.before IS NULL AND w.after = 'stored') IS NOT true
""".replace("{current}", current_version("t.bucket", "t.key"))
    .replace("{has_rules}", HAS_RULES)
    .replace("{rules_owner}", RULES_OWNER)
)


# The triggers on files read `landfall.usage`: see migration 0016.
_PREPARE = prepared_write(
    text("SELECT set_config('landfall.usage', 'later', true), set_config('lock_timeout', :patience, true)")
)


def prepare(session: Session, patience_ms: int) -> None:
    """Make this transaction one that records events.

    What it changes of an owner's usage is noted, for the clock to add up, so that no two batches wait for an owner. It
    waits for a lock for at most ``patience_ms``.
    """
    session.execute(_PREPARE, {"patience": str(patience_ms)})


# Planning takes 3 ms, longer than recording a few changes. So these have one plan for whatever values, in which Postgres
# takes all arrays to be short. From 150 changes on, its joins take longer than planning for the arrays' real lengths.
_FEW = 100
_MERGE_FEW, _CURRENT_FEW = prepared_write(_MERGE), prepared_write(_CURRENT)


def record_changes(session: Session, changes: Sequence[ObjectChange], now: datetime) -> list[Recorded]:
    """Merge ``changes``, in any order and with any repetition, into the catalogue; then say what each one did.

    Takes the locks of all keys, so it should come early in its transaction and the transaction should end soon after.
    """
    distinct = list({(c.bucket, c.key, c.version_id, c.rank): c for c in changes}.values())
    if not distinct:
        return []
    names = list({(change.bucket, change.key): None for change in distinct})
    lock_keys(session, names)
    merged = session.execute(_MERGE_FEW if len(distinct) <= _FEW else _MERGE, _columns(distinct) | {"now": now}).one()
    purged = {(change.bucket, change.key) for change in distinct if change.kind is Kind.PURGE}
    if purged:
        session.execute(_PURGE, {"buckets": [b for b, _ in purged], "keys": [k for _, k in purged]})
    files = _update_files(session, names, now)
    fresh, effective = set(merged.fresh or ()), set(merged.effective or ())
    return [
        Recorded(change, file[0], _outcome(change, order in fresh, order in effective, file))
        for order, change in enumerate(distinct, 1)
        for file in [files[change.bucket, change.key]]
    ]


def _update_files(
    session: Session, names: Sequence[tuple[str, str]], now: datetime
) -> dict[tuple[str, str], _FileStates]:
    """Step 4."""
    ids = uuid7_texts(now, len(names))
    columns = {
        "buckets": texts([bucket for bucket, _ in names]),
        "keys": texts([key for _, key in names]),
        "ids": plain(ids),
        "names": texts([display_name(key) for _, key in names]),
        "default_owners": rare_texts([default_owner(key) for _, key in names]),
    }
    current = _CURRENT_FEW if len(names) <= _FEW else _CURRENT
    others = session.execute(current, columns | {"now": now}).scalar_one() or ()
    files: dict[tuple[str, str], _FileStates] = {
        name: (identifier, None, "stored") for name, identifier in zip(names, ids, strict=True)
    }
    files.update((names[place - 1], (identifier, before, after)) for place, identifier, before, after in others)
    return files


def _outcome(change: ObjectChange, is_fresh: bool, is_effective: bool, file: _FileStates) -> Outcome:
    if not is_fresh:
        return "duplicate"
    if not is_effective:
        return "stale"
    _, before, after = file
    if change.kind is Kind.PUT:
        return "created" if before != "stored" and after == "stored" else "updated"
    return "updated" if after == "stored" else "deleted"


def _columns(changes: Sequence[ObjectChange]) -> dict[str, str]:
    """The changes as step 2 reads them, column by column."""
    states = fold(changes)
    folded = [states[change.bucket, change.key, change.version_id] for change in changes]
    return {
        "buckets": texts([change.bucket for change in changes]),
        "keys": texts([change.key for change in changes]),
        "version_ids": texts([change.version_id for change in changes]),
        "ranks": texts([change.rank for change in changes]),
        "changes": texts([_CHANGE_NAMES[change.kind] for change in changes]),
        "event_names": texts([change.event_name for change in changes]),
        "event_times": plain([change.event_time and change.event_time.isoformat() for change in changes]),
        "sequencers": texts([change.sequencer for change in changes]),
        "sizes": plain([change.size for change in changes]),
        "etags": texts([change.etag for change in changes]),
        "media_types": rare_texts([change.media_type for change in changes]),
        "metadata": rare_texts(
            [None if change.metadata is None else json.dumps(change.metadata) for change in changes]
        ),
        "sha256s": rare_texts([change.sha256 for change in changes]),
        "are_events": plain([not change.is_observation for change in changes]),
        "leads": plain([change is (state.put or state.removal) for change, state in zip(changes, folded, strict=True)]),
        "removal_ranks": texts([state.removal.rank if state.removal else "" for state in folded]),
        "held_objects": plain([state.held_object for state in folded]),
        "follows": rare_texts([change.follows for change in changes]),
    }
