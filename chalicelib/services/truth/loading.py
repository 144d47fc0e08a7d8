"""Loading an S3 Inventory: its files go into a table, where they are compared with the catalogue.

A worker loads one file at a time, a part in each transaction. So it may die at any time; another one reads the file again and
goes on behind what is loaded.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing
from itertools import islice
from tempfile import NamedTemporaryFile
from uuid import UUID

from chalicelib.catalog.audits import Audit
from chalicelib.catalog.inventories import Inventory, InventoryFile, InventoryVersion
from chalicelib.catalog.inventory_reading import IN_PARQUET, listed_in_csv, parse_manifest
from chalicelib.db import audits, inventories, inventory_files
from chalicelib.db.inventories import InventoryOf
from chalicelib.db.inventory_files import LoadedFile
from chalicelib.db.refusals import meaningful_refusals
from chalicelib.errors import DatabaseUnavailable, InvalidInventory
from chalicelib.services.context import Context, Transaction
from chalicelib.services.truth.allowances import Allowance

_VERSIONS_AT_ONCE = 20_000  # about 15 MB, twice: the next ones are read meanwhile
_RENEWED_AFTER = 15.0  # seconds
_VERSIONS_OF_RANGE = 200_000
_MOST_RANGES = 64

# Opens a file of Parquet, by its path, as lines of CSV with the columns `IN_PARQUET`.
ReadParquet = Callable[[str], AbstractContextManager[Iterable[str]]]


def read_inventory(ctx: Context, bucket: str, key: str, source: str) -> Inventory:
    """The inventory of a bucket that a manifest describes.

    Raises:
        InvalidInventory: it is none, or one of another bucket. StoreUnavailable.
    """
    inventory = parse_manifest(bucket, key, ctx.store.inventories.manifest(bucket, key))
    if inventory.source != source:
        raise InvalidInventory(f"{inventory.url} is an inventory of {inventory.source!r}, and not of {source!r}.")
    return inventory


def waits_for_parquet(tx: Transaction, audit_id: UUID) -> bool:
    """Whether an audit is to load Parquet, which only a worker with a reader for it can."""
    audit = audits.find_audit(tx.session, audit_id)
    inventory = inventories.find_inventory(tx.session, audit_id)
    return audit is not None and audit.state == "loading" and inventory is not None and inventory.format == "parquet"


def load_some(ctx: Context, audit: Audit, worker: UUID, allowance: Allowance, read_parquet: ReadParquet | None) -> bool:
    """Load a file, or as much of it as is allowed; returns whether there was one.

    If no file is left, the audit goes on. If one can't be read, the audit has failed.

    Raises:
        StoreUnavailable, DatabaseUnavailable.
    """
    with ctx.transaction() as tx:
        inventory = inventories.find_inventory(tx.session, audit.id)
        if inventory is None or (inventory.format == "parquet" and read_parquet is None):
            return False
        claimed = inventory_files.claim_file(tx.session, inventory.id, worker)
        if claimed is None:
            return _begin_to_compare(tx, audit, inventory)
    allowance.spend(1)
    try:
        with closing(_versions(ctx, inventory, claimed.file, read_parquet)) as versions:
            is_intact = _load(ctx, claimed, versions, worker, allowance)
        if not is_intact:
            load_again(ctx, audit, inventory.id)
    except InvalidInventory as error:
        with ctx.transaction() as tx:
            if audits.lock_audit(tx.session, audit.id) is not None:
                audits.set_state(tx.session, audit.id, tx.now, state="failed", problem=str(error), finished_at=tx.now)
    return True


def load_again(ctx: Context, audit: Audit, inventory_id: int) -> None:
    """Load everything once more, after a crash of the database's server has emptied the table."""
    with ctx.transaction() as tx:
        now = audits.lock_audit(tx.session, audit.id)
        if now is not None and not inventories.is_intact(tx.session, inventory_id):
            inventories.load_again(tx.session, inventory_id)
            audits.set_state(tx.session, audit.id, tx.now, state="loading")


def remove_loaded(ctx: Context, allowance: Allowance) -> None:
    """Remove what was loaded for audits that have ended. What can't be removed now is removed later."""
    try:
        more = True
        while more and allowance.is_left:
            with meaningful_refusals(), ctx.transaction() as tx:
                more = inventories.remove_some(tx.session)
    except DatabaseUnavailable:
        return


def _begin_to_compare(tx: Transaction, audit: Audit, inventory: InventoryOf) -> bool:
    """Where no file is free: begin to compare if all are loaded; returns whether there is something to do now."""
    if inventory_files.has_open_files(tx.session, inventory.id):
        return False
    loaded = inventory_files.count_loaded(tx.session, inventory.id)
    cuts = inventories.find_cuts(tx.session, inventory.id, min(_MOST_RANGES, loaded // _VERSIONS_OF_RANGE))
    now = audits.lock_audit(tx.session, audit.id)
    if now is not None and now.state == "loading":
        inventories.cut_range(tx.session, audit.id, cuts)
        audits.set_state(tx.session, audit.id, tx.now, state="listing")
    return True


def _versions(
    ctx: Context, inventory: InventoryOf, file: InventoryFile, read_parquet: ReadParquet | None
) -> Generator[InventoryVersion, None, None]:
    """The versions that a file lists."""
    store = ctx.store.inventories
    if inventory.format == "csv" or read_parquet is None:
        with store.lines(inventory.bucket, file) as lines:
            yield from listed_in_csv(lines, inventory.source, inventory.fields)
        return
    with NamedTemporaryFile(suffix=".parquet") as copy:
        store.save(inventory.bucket, file, copy)
        copy.flush()
        with read_parquet(copy.name) as rows:
            yield from listed_in_csv(rows, inventory.source, tuple(IN_PARQUET.values()), are_keys_encoded=False)


def _load(
    ctx: Context, claimed: LoadedFile, versions: Iterator[InventoryVersion], worker: UUID, allowance: Allowance
) -> bool:
    """Load what isn't loaded of a file; returns whether what was loaded before is still there.

    While a part is written, the next one is read. That takes longer than a lease if a whole file must come before, or if much of
    it is loaded already.
    """
    behind = islice(versions, claimed.loaded, None)

    def read() -> list[InventoryVersion]:
        return list(islice(behind, _VERSIONS_AT_ONCE))

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(read)
        while True:
            while not wait([coming], _RENEWED_AFTER).done:
                with ctx.transaction() as tx:
                    inventory_files.renew_file(tx.session, claimed, worker)
            part = coming.result()
            is_last = len(part) < _VERSIONS_AT_ONCE
            if not is_last:
                coming = pool.submit(read)
            with ctx.transaction() as tx:
                if inventory_files.keep_file(tx.session, claimed, worker) != claimed.loaded:
                    return True  # another worker has it
                if not inventories.is_intact(tx.session, claimed.inventory_id):
                    return False
                inventory_files.load(tx.session, claimed, part, is_last=is_last)
            claimed = claimed._replace(loaded=claimed.loaded + len(part))
            if is_last or not allowance.is_left:
                return True
