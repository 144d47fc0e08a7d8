"""Comparing a range of keys: what an S3 Inventory lists, after it was loaded, with what the catalogue knows.

An inventory is hours old, and may leave out what had just changed. So it proves only that what it lists as the catalogue knows it
was right then. Whatever differs is looked at in the bucket itself before it is counted or recorded: a few keys one by one, many
by listing that part of the bucket.
"""

from uuid import UUID

from chalicelib.catalog.audits import Audit
from chalicelib.db import audit_ranges, findings, inventories
from chalicelib.db.audit_ranges import Counts, Range
from chalicelib.db.comparing import Keys
from chalicelib.db.findings import Finding
from chalicelib.db.inventories import Difference, Limits
from chalicelib.services.context import Context, Transaction
from chalicelib.services.truth.allowances import Allowance
from chalicelib.services.truth.loading import load_again
from chalicelib.services.truth.ranges import compare_range

_VERSIONS_AT_ONCE = 20_000
_PAGE = 1_000  # versions that S3 lists at once
# To look at a key takes about as long as to list so many versions. Where more keys differ, their part of the bucket is listed.
_LISTED_MEANWHILE = 100
_ALWAYS_LOOKED_AT = 20  # keys


def compare_inventory(ctx: Context, audit: Audit, claimed: Range, worker: UUID, allowance: Allowance) -> None:
    """Compare a range until its end, or until nothing more is allowed.

    Raises:
        StoreUnavailable, DatabaseUnavailable.
    """
    with ctx.transaction() as tx:
        inventory = inventories.find_inventory(tx.session, audit.id)
    if inventory is None:
        raise ValueError("This audit lists the bucket.")
    while allowance.is_left:
        with ctx.transaction() as tx:
            kept = audit_ranges.keep_range(tx.session, claimed.id, worker)
            if kept is None:
                return
            is_intact = inventories.is_intact(tx.session, inventory.id)
            listing = _compare(tx, audit, inventory.id, kept) if is_intact else 0
        if not is_intact:
            return load_again(ctx, audit, inventory.id)
        if listing:
            compare_range(ctx, audit, kept, worker, allowance.part(listing))


def _compare(tx: Transaction, audit: Audit, inventory_id: int, kept: Range) -> int:
    """Compare a batch and note how far the range is; or, if too much differs, return for about how many pages the bucket is to be
    listed in place of that."""
    keys = Keys(audit.bucket, audit.prefix, kept.position, kept.until)
    most = max(_ALWAYS_LOOKED_AT, _VERSIONS_AT_ONCE // _LISTED_MEANWHILE)
    batch = inventories.find_differences(tx.session, audit, inventory_id, keys, Limits(_VERSIONS_AT_ONCE, most + 1))
    if len(batch.differences) > max(_ALWAYS_LOOKED_AT, batch.listed // _LISTED_MEANWHILE):
        return 1 + batch.listed // _PAGE
    found = [one for difference in batch.differences for one in _findings(difference)]
    findings.add_findings(tx.session, audit.id, found)
    position = None if batch.until == kept.until else batch.until
    audit_ranges.advance_range(tx.session, kept.id, position, Counts(compared=batch.listed))
    return 0


def _findings(difference: Difference) -> list[Finding]:
    """That a key is to be looked at again. If the catalogue alone knows some of its versions, and has for long, they may be gone:
    so many of them may stop a repair."""
    if not difference.is_old or not difference.unlisted:
        return [Finding(difference.key, "", "unsure")]
    versions = zip(difference.unlisted, difference.ranks, strict=True)
    return [Finding(difference.key, version_id, "gone", put_rank) for version_id, put_rank in versions]
