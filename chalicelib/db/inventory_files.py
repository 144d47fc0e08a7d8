"""The files of an S3 Inventory, which workers load one at a time. They are leased: one that dies loses its file to another."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from chalicelib.catalog.inventories import InventoryFile, InventoryVersion
from chalicelib.db import models
from chalicelib.db.copying import copy_in
from chalicelib.db.outages import sqlstate
from chalicelib.errors import InvalidInventory

_LEASE_SECONDS = 60
_BLOCK_ROWS = 2_000


class LoadedFile(NamedTuple):
    """A file that this worker loads, of which ``loaded`` versions are loaded already."""

    inventory_id: int
    number: int
    file: InventoryFile
    loaded: int


_COPY = "COPY inventory_versions (inventory_id, key, version_id, is_latest, is_marker, size, modified, etag) FROM STDIN"

_CLAIM = text("""
UPDATE audit_inventory_files SET worker = :worker, leased_until = clock_timestamp() + make_interval(secs => :seconds)
WHERE inventory_id = :id AND number = (
    SELECT number FROM audit_inventory_files
    WHERE inventory_id = :id AND NOT is_done AND coalesce(leased_until < clock_timestamp(), true)
    ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING inventory_id, number, key, size, md5, loaded
""")

# The audit's row is locked against its being cancelled, which ends all work on it.
_KEEP = text("""
SELECT f.loaded FROM audits AS a
JOIN audit_inventories AS i ON i.audit_id = a.id
JOIN audit_inventory_files AS f ON f.inventory_id = i.id
WHERE i.id = :id AND f.number = :number AND f.worker = :worker AND NOT f.is_done AND a.state = 'loading'
FOR KEY SHARE OF a FOR UPDATE OF f
""")

_RENEW = text("""
UPDATE audit_inventory_files SET leased_until = clock_timestamp() + make_interval(secs => :seconds)
WHERE inventory_id = :id AND number = :number AND worker = :worker AND NOT is_done
""")

_ADVANCE = text("""
UPDATE audit_inventory_files SET loaded = :loaded, is_done = :is_done,
    leased_until = clock_timestamp() + make_interval(secs => :seconds)
WHERE inventory_id = :id AND number = :number
""")

_RELEASE = text(
    "UPDATE audit_inventory_files SET leased_until = NULL, worker = NULL WHERE worker = :worker AND NOT is_done"
)

_TABS = 7
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def claim_file(session: Session, inventory_id: int, worker: UUID) -> LoadedFile | None:
    """Lease a file that nobody loads; None if there is none."""
    values = {"id": inventory_id, "worker": worker, "seconds": _LEASE_SECONDS}
    row = session.execute(_CLAIM, values).one_or_none()
    if row is None:
        return None
    return LoadedFile(row.inventory_id, row.number, InventoryFile(row.key, row.size, row.md5), row.loaded)


def keep_file(session: Session, claimed: LoadedFile, worker: UUID) -> int | None:
    """Lock a file that this worker has leased; returns how many of its versions are loaded. None: it is lost."""
    values = {"id": claimed.inventory_id, "number": claimed.number, "worker": worker}
    loaded: int | None = session.execute(_KEEP, values).scalar_one_or_none()
    return loaded


def renew_file(session: Session, claimed: LoadedFile, worker: UUID) -> None:
    """Lease a file for longer, if this worker still has it."""
    values = {"id": claimed.inventory_id, "number": claimed.number, "worker": worker}
    session.execute(_RENEW, {**values, "seconds": _LEASE_SECONDS})


def load(session: Session, claimed: LoadedFile, versions: Sequence[InventoryVersion], *, is_last: bool) -> None:
    """Add versions to those that are loaded, and note it. The caller has locked the file.

    Raises:
        InvalidInventory: sizes or times are none.
    """
    blocks = [
        _block(claimed.inventory_id, versions[start : start + _BLOCK_ROWS])
        for start in range(0, len(versions), _BLOCK_ROWS)
    ]
    try:
        if blocks:
            copy_in(session, _COPY, blocks)
    except DBAPIError as error:
        if sqlstate(error.orig).startswith("22"):
            raise InvalidInventory(f"{claimed.file.key} holds sizes or times that are none.") from error
        raise
    values = {"id": claimed.inventory_id, "number": claimed.number, "seconds": _LEASE_SECONDS}
    session.execute(_ADVANCE, {**values, "loaded": claimed.loaded + len(versions), "is_done": is_last})


def _block(inventory_id: int, versions: Sequence[InventoryVersion]) -> bytes:
    """Rows in Postgres's text format."""
    block = _lines(inventory_id, versions)
    # Nearly always nothing in it is to be escaped: to see that for all rows at once takes a fraction of the time.
    marks = (block.count("\t"), block.count("\n"), block.count("\r"), block.count("\\"))
    if marks != (_TABS * len(versions), len(versions), 0, 0):
        block = _lines(inventory_id, [_escaped(version) for version in versions])
    return block.encode()


def _lines(inventory_id: int, versions: Sequence[InventoryVersion]) -> str:
    return "".join(
        [
            f"{inventory_id}\t{key}\t{version_id}\t{is_latest}\t{is_marker}\t{size}\t{modified}\t{etag}\n"
            for key, version_id, is_latest, is_marker, size, modified, etag in versions
        ]
    )


def _escaped(version: InventoryVersion) -> InventoryVersion:
    return InventoryVersion._make(one.translate(_ESCAPES) if isinstance(one, str) else one for one in version)


def release_files(session: Session, worker: UUID) -> None:
    """Give back what this worker has leased."""
    session.execute(_RELEASE, {"worker": worker})


def has_open_files(session: Session, inventory_id: int) -> bool:
    """Whether some files are still to be loaded."""
    file = models.AuditInventoryFile
    found = select(file.number).where(file.inventory_id == inventory_id, ~file.is_done).limit(1)
    return session.scalar(found) is not None


def count_loaded(session: Session, inventory_id: int) -> int:
    """How many versions are loaded."""
    file = models.AuditInventoryFile
    return int(session.scalar(select(func.sum(file.loaded)).where(file.inventory_id == inventory_id)) or 0)
