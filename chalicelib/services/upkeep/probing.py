"""What the object store honours: tried at its first use, and again from time to time."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock

from chalicelib.catalog.objects import EVERYTHING, NOTHING, Guarantees, Probed
from chalicelib.db.stores import find_probed, save_probed
from chalicelib.errors import Refused
from chalicelib.services.context import Context

# A store may be upgraded. If we could not try it, somebody may soon give us the right to.
_GOOD_FOR = timedelta(days=1)
_DOUBTFUL_FOR = timedelta(hours=1)

# A VPC's or a FIPS endpoint is AWS, too.
_AWS = re.compile(r"^https?://[^/]*\.amazonaws\.com(\.cn)?(:\d+)?(/|$)")
# A process asks its database so often.
_REMEMBERED_FOR = timedelta(minutes=10)

# What the lack of each guarantee means for users.
CONSEQUENCES = {
    "conditional_put": "In a bucket with versions, the link of an upload can be used more than once while it lasts; each use "
    "makes another version.",
    "conditional_copy": "Copies and moves look at their destination before and after, and take a copy back that hides another "
    "object. In a bucket without versions, an object that comes there in the milliseconds between is lost; in one with versions "
    "it stays hidden if Landfall dies at that moment.",
    "conditional_completion": "When parts are made into an object, its key is looked at right before. An object that comes "
    "in the milliseconds between becomes an earlier version, or is lost in a bucket without versions.",
    "conditional_delete": "Deletions look at the object before and after, and take a delete marker back that hides another "
    "object. In a bucket without versions, an object that comes in the milliseconds between is lost; in one with versions it "
    "stays hidden if Landfall dies at that moment.",
    "conditional_bulk_delete": "Many files and versions are deleted one by one, which takes longer.",
    "copy_source": "In a bucket without versions, the source of a copy is looked at before and after.",
    "part_source": "In a bucket without versions, the source of a copy in parts is looked at before and after.",
    "checksums": "The SHA-256 that a client announces for an upload of its own is not compared with the bytes. Files that "
    "were not sent through the API have no verified SHA-256, so their duplicates are not found.",
}


def probed_store(ctx: Context) -> Probed:
    """What the store is known to honour. If that isn't known, it is tried now, which mostly takes less than a second.

    AWS is not tried: what it promises holds. If a store refuses to be tried, nothing is assumed to hold.

    Raises:
        StoreUnavailable: the store doesn't answer. DatabaseUnavailable.
    """
    endpoint, bucket = ctx.settings.s3_endpoint, ctx.settings.bucket
    if endpoint is None or _AWS.search(endpoint):
        return Probed(EVERYTHING)
    with ctx.transaction() as tx:
        known = find_probed(tx.session, endpoint, bucket)
    if known is not None and _is_fresh(known, ctx.now):
        return known
    found = _probe(ctx)
    with ctx.transaction() as tx:
        save_probed(tx.session, endpoint, bucket, found)
    return found


class StoreGuarantees:
    """What the store honours, asked for once in ten minutes, and by one thread at a time."""

    def __init__(self, context: Callable[[], Context]) -> None:
        self._context = context
        self._lock = Lock()
        self._known: tuple[datetime, Guarantees] | None = None

    def __call__(self) -> Guarantees:
        """Raises as `probed_store`."""
        with self._lock:
            ctx = self._context()
            if self._known is None or ctx.now > self._known[0] + _REMEMBERED_FOR:
                self._known = ctx.now, probed_store(ctx).guarantees
            return self._known[1]


def _is_fresh(known: Probed, now: datetime) -> bool:
    return known.at is not None and now < known.at + (_DOUBTFUL_FOR if known.problem else _GOOD_FOR)


def _probe(ctx: Context) -> Probed:
    try:
        return Probed(ctx.store.probe(), ctx.now)
    except Refused as error:
        return Probed(NOTHING, ctx.now, f"{error} It answered {error.code}.")
