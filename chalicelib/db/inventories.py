"""S3 Inventories, and the comparison of what they list with the catalogue. `chalicelib.db.inventory_files` loads them.

What is loaded is in an unlogged table, which Postgres empties after a crash. So each inventory has a row with an empty key there:
if it is missing, all is loaded again.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import CursorResult, select, text
from sqlalchemy.orm import Session

from chalicelib.catalog.audits import Audit
from chalicelib.catalog.inventories import Inventory, InventoryFormat
from chalicelib.db import models
from chalicelib.db.comparing import HIGHEST, Keys, beyond

_DELETED_AT_ONCE = 50_000
_SAMPLED_BYTES = 4 * 1024 * 1024
_LOCK_WAIT = "1s"


class InventoryOf(NamedTuple):
    """An audit's inventory, as it is read."""

    id: int
    bucket: str
    source: str
    format: InventoryFormat
    fields: list[str]


class Difference(NamedTuple):
    """A key that may differ. ``unlisted``: versions of the catalogue alone, with their ranks. ``is_old``: the catalogue knows no
    version of it that is newer than the inventory may be."""

    key: str
    unlisted: list[str]
    ranks: list[str]
    is_old: bool


class Limits(NamedTuple):
    """How many versions a batch has, about, on either side; how many keys that differ it says at most."""

    versions: int
    differences: int


class Batch(NamedTuple):
    """What is compared, up to ``until`` (None: to the end); how many versions the inventory lists there; what differs."""

    until: str | None
    listed: int
    differences: list[Difference]


_MARK = text("""
INSERT INTO inventory_versions (inventory_id, key, version_id, is_latest, is_marker, size, modified, etag)
VALUES (:id, '', '', false, false, 0, 'epoch', '')
""")

_IS_INTACT = text("SELECT EXISTS (SELECT FROM inventory_versions WHERE inventory_id = :id AND key = '')")

# Ranges stay as far as they are: their keys were compared. Their workers have stopped.
_RELOAD = (
    text("DELETE FROM inventory_versions WHERE inventory_id = :id"),
    text("""
UPDATE audit_inventory_files SET loaded = 0, is_done = false, worker = NULL, leased_until = NULL WHERE inventory_id = :id"""),
    text("""
UPDATE audit_ranges SET worker = NULL, leased_until = NULL
WHERE audit_id = (SELECT audit_id FROM audit_inventories WHERE id = :id) AND NOT is_done"""),
)

_SAMPLE = text("""
SELECT DISTINCT key FROM inventory_versions
TABLESAMPLE SYSTEM (CAST(least(100.0, 100.0 * :bytes / greatest(1, pg_relation_size('inventory_versions'))) AS real))
WHERE inventory_id = :id AND key <> '' ORDER BY key
""")

# Statistics of what was just loaded are missing, and without them a whole table may seem to be cheap to read. Other workers use
# the processors. A batch is sorted in memory.
_PLAN = text("""
SELECT set_config('enable_seqscan', 'off', true), set_config('max_parallel_workers_per_gather', '0', true),
    set_config('work_mem', '16MB', true)
""")

# The key up to which the catalogue knows so many versions; null: it knows fewer.
_KNOWN_AHEAD = text("""
SELECT key FROM object_versions
WHERE bucket = :bucket AND key > :after AND (CAST(:until AS text) IS NULL OR key <= :until)
    AND key >= :prefix AND (CAST(:beyond AS text) IS NULL OR key < :beyond)
ORDER BY key OFFSET :ahead LIMIT 1
""")

# As `chalicelib.db.comparing` compares a listing, except for the order of a key's versions. An inventory lists them in no order,
# and its times are whole seconds: the current version must be the same, and of the others none may be older than the one before.
_DIFFERING = text("""
WITH listed AS MATERIALIZED (
    SELECT key, version_id, is_latest, is_marker, size, modified, etag FROM inventory_versions
    WHERE inventory_id = :id AND key > :after AND (CAST(:until AS text) IS NULL OR key <= :until)
        AND key >= :prefix AND (CAST(:beyond AS text) IS NULL OR key < :beyond)
    ORDER BY key FETCH FIRST :ahead ROWS WITH TIES
), batch AS MATERIALIZED (
    SELECT count(*) AS listed, CASE WHEN count(*) < :ahead THEN :until ELSE max(key) END AS until FROM listed
), known AS (
    SELECT key, version_id, put_rank, is_delete_marker, size, etag, stored_at FROM object_versions
    WHERE bucket = :bucket AND alive AND key > :after AND key <= coalesce((SELECT until FROM batch), :highest)
        AND key >= :prefix AND (CAST(:beyond AS text) IS NULL OR key < :beyond)
), both_sides AS (
    SELECT coalesce(l.key, k.key) AS key, k.version_id, k.put_rank, l.key IS NOT NULL AS is_listed, k.key IS NOT NULL AS is_known,
        l.is_latest, l.modified, coalesce(k.stored_at, 'infinity') AS stored_at,
        l.is_marker = k.is_delete_marker
            AND (l.is_marker OR (coalesce(l.size = k.size, true) AND coalesce(l.etag = nullif(k.etag, ''), true)))
            AND (l.version_id <> '' OR k.stored_at IS NULL OR k.stored_at >= l.modified) AS is_same
    FROM listed AS l FULL JOIN known AS k ON k.key = l.key AND k.version_id = l.version_id
), compared AS (
    SELECT key, version_id, put_rank, is_listed, is_known, stored_at,
        coalesce(is_same AND is_latest = (lead(key) OVER history IS NULL)
            AND (is_latest OR coalesce(modified >= lag(modified) OVER history, true)), false) AS is_right
    FROM both_sides
    WINDOW history AS (PARTITION BY key ORDER BY put_rank, version_id)
)
SELECT batch.listed, batch.until, differing.* FROM batch LEFT JOIN (
    SELECT key, coalesce(array_agg(version_id) FILTER (WHERE NOT is_listed), '{}'),
        coalesce(array_agg(put_rank) FILTER (WHERE NOT is_listed), '{}'),
        coalesce(bool_and(stored_at < :horizon) FILTER (WHERE is_known), true)
    FROM compared WHERE key IN (SELECT key FROM compared WHERE NOT is_right)
    GROUP BY key ORDER BY key LIMIT :most) AS differing ON true
""")

# The table is locked first: an inventory that has just begun has written to it, so that it is seen after that.
_WAIT_BRIEFLY = text("SELECT set_config('lock_timeout', :wait, true)")
_LOCK = text("LOCK TABLE inventory_versions IN ACCESS EXCLUSIVE MODE")
_TRUNCATE = text("TRUNCATE inventory_versions")
_MAY_TRUNCATE = text("SELECT has_table_privilege('inventory_versions', 'TRUNCATE')")
_ENDED = text("""
SELECT i.id FROM audit_inventories AS i JOIN audits AS a ON a.id = i.audit_id
WHERE NOT i.is_removed AND a.finished_at IS NOT NULL ORDER BY i.id
""")
_IS_ONE_OPEN = text("""
SELECT EXISTS (
    SELECT FROM audit_inventories AS i JOIN audits AS a ON a.id = i.audit_id WHERE NOT i.is_removed AND a.finished_at IS NULL)
""")
_DELETE = text("""
DELETE FROM inventory_versions WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM inventory_versions WHERE inventory_id = :id LIMIT :most))
""")
_REMOVED = text("UPDATE audit_inventories SET is_removed = true WHERE id = ANY (CAST(:ids AS int[]))")


def add_inventory(session: Session, audit_id: UUID, inventory: Inventory) -> None:
    """Note what an audit compares with, and what is to be loaded."""
    row = models.AuditInventory(
        audit_id=audit_id,
        bucket=inventory.bucket,
        key=inventory.key,
        source=inventory.source,
        made_at=inventory.made_at,
        format=inventory.format,
        fields=list(inventory.fields),
    )
    session.add(row)
    session.flush()
    session.execute(_MARK, {"id": row.id})
    session.add_all(
        models.AuditInventoryFile(inventory_id=row.id, number=number, key=file.key, size=file.size, md5=file.md5)
        for number, file in enumerate(inventory.files)
    )
    session.flush()


def find_inventory(session: Session, audit_id: UUID) -> InventoryOf | None:
    """What an audit compares with; None: the bucket's listing."""
    row = models.AuditInventory
    columns = (row.id, row.bucket, row.source, row.format, row.fields)
    found = session.execute(select(*columns).where(row.audit_id == audit_id)).one_or_none()
    return None if found is None else InventoryOf(*found)


def is_intact(session: Session, inventory_id: int) -> bool:
    """Whether what was loaded is still there: the server has not crashed since."""
    return bool(session.scalar(_IS_INTACT, {"id": inventory_id}))


def load_again(session: Session, inventory_id: int) -> None:
    """Have every file loaded once more. The caller has locked the audit."""
    for statement in _RELOAD:
        session.execute(statement, {"id": inventory_id})
    session.execute(_MARK, {"id": inventory_id})


def find_cuts(session: Session, inventory_id: int, count: int) -> list[str]:
    """Keys that cut an inventory into about so many parts of about the same size."""
    if count < 2:
        return []
    keys = session.scalars(_SAMPLE, {"id": inventory_id, "bytes": _SAMPLED_BYTES}).all()
    return sorted({keys[len(keys) * number // count] for number in range(1, count)}) if keys else []


def cut_range(session: Session, audit_id: UUID, cuts: Sequence[str]) -> None:
    """Cut the range of an audit that hasn't begun to compare."""
    part = models.AuditRange
    whole = session.scalar(select(part).where(part.audit_id == audit_id, ~part.is_done).limit(1))
    if not cuts or whole is None or whole.position or whole.until is not None:
        return
    whole.until = cuts[0]
    for cut, following in zip(cuts, [*cuts[1:], None], strict=True):
        session.add(part(audit_id=audit_id, position=cut, until=following))
    session.flush()


def find_differences(session: Session, audit: Audit, inventory_id: int, keys: Keys, limits: Limits) -> Batch:
    """Compare the first versions of these keys."""
    if audit.trusted_until is None:
        raise ValueError("This audit has no inventory.")
    values: dict[str, Any] = {**keys._asdict(), "beyond": beyond(keys.prefix), "ahead": limits.versions}
    session.execute(_PLAN)
    if (end := session.scalar(_KNOWN_AHEAD, values)) is not None:
        values["until"] = end
    values |= {"id": inventory_id, "horizon": audit.trusted_until, "most": limits.differences, "highest": HIGHEST}
    rows = session.execute(_DIFFERING, values).all()
    differences = [Difference(*row[2:]) for row in rows if row[2] is not None]
    return Batch(rows[0].until, rows[0].listed, differences)


def remove_some(session: Session) -> bool:
    """Remove versions of inventories whose audits have ended; returns whether more are left.

    Others may be at work on the table: then Postgres refuses it, and later it may be free.
    """
    ended = session.scalars(_ENDED).all()
    if not ended:
        return False
    if not session.scalar(_IS_ONE_OPEN) and session.scalar(_MAY_TRUNCATE):
        session.execute(_WAIT_BRIEFLY, {"wait": _LOCK_WAIT})
        session.execute(_LOCK)
        ended = session.scalars(_ENDED).all()
        if not session.scalar(_IS_ONE_OPEN):
            session.execute(_TRUNCATE)
            session.execute(_REMOVED, {"ids": list(ended)})
            return False
    deleted: CursorResult[Any] = session.execute(_DELETE, {"id": ended[0], "most": _DELETED_AT_ONCE})  # type: ignore[assignment]
    if deleted.rowcount == _DELETED_AT_ONCE:
        return True
    session.execute(_REMOVED, {"ids": [ended[0]]})
    return len(ended) > 1
