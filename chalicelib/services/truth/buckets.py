"""Which buckets the catalogue records: those that the settings name, and those that were adopted."""

from collections.abc import Collection

from chalicelib.db import buckets
from chalicelib.services.context import Context, Transaction
from chalicelib.settings import Settings


def adopt_bucket(tx: Transaction, bucket: str) -> bool:
    """Record this bucket's events from now on; returns False if that was so before.

    Their events must be sent by the bucket, and what it held before is taken in by a repair.
    """
    return not tx.settings.records_bucket(bucket) and buckets.add_bucket(tx.session, bucket, tx.now)


def knows_files_of(tx: Transaction, bucket: str) -> bool:
    """Whether the catalogue has files of this bucket."""
    return buckets.has_files(tx.session, bucket)


def recorded_buckets(tx: Transaction) -> list[str]:
    """All of them, the one that uploads go to first. Those that only ``LANDFALL_ANY_BUCKET`` lets in aren't known."""
    named = _named(tx.settings)
    return [*named, *(bucket for bucket in buckets.adopted_buckets(tx.session) if bucket not in named)]


def unrecorded_among(ctx: Context, names: Collection[str]) -> set[str]:
    """Those of these buckets whose events are not recorded."""
    unnamed = {name for name in names if not ctx.settings.records_bucket(name)}
    if not unnamed:
        return set()
    with ctx.transaction() as tx:
        return unnamed - buckets.adopted_among(tx.session, unnamed)


def _named(settings: Settings) -> list[str]:
    return list(dict.fromkeys([settings.bucket, *settings.extra_buckets]))
