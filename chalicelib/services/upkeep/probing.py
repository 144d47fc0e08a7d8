"""What the object store honours: tried at its first use, and again from time to time."""

from datetime import datetime, timedelta

from chalicelib.catalog.objects import EVERYTHING, NOTHING, Probed
from chalicelib.db.stores import find_probed, save_probed
from chalicelib.errors import Refused
from chalicelib.services.context import Context

# A store may be upgraded. If we could not try it, somebody may soon give us the right to.
_GOOD_FOR = timedelta(days=1)
_DOUBTFUL_FOR = timedelta(hours=1)

# What the lack of each guarantee means for users.
CONSEQUENCES = {
    "conditional_put": "The link of an upload can be used more than once while it lasts; each use makes another version.",
    "conditional_copy": "Copies and moves look at their destination before and after, and take a copy back that hides another "
    "object. In a bucket without versions, an object that comes there in the milliseconds between is lost.",
    "conditional_completion": "When parts are made into an object, its key is looked at right before. An object that comes "
    "in the milliseconds between becomes an earlier version, or is lost in a bucket without versions.",
    "conditional_delete": "Deletions look at the object before and after, and take a delete marker back that hides another "
    "object. In a bucket without versions, an object that comes in the milliseconds between is lost.",
    "conditional_bulk_delete": "Many files and versions are deleted one by one, which takes longer.",
    "copy_source": "In a bucket without versions, the source of a copy is looked at before and after.",
    "part_source": "In a bucket without versions, the source of a copy in parts is looked at before and after.",
    "checksums": "The SHA-256 that a client announces for an upload of its own is not compared with the bytes. Files that "
    "were not sent through the API have no verified SHA-256, so their duplicates are not found.",
}


def probed_store(ctx: Context) -> Probed:
    """What the store is known to honour. If that isn't known, it is tried now, which takes up to a second.

    AWS is not tried: what it promises holds. If a store refuses to be tried, nothing is assumed to hold.

    Raises:
        StoreUnavailable: the store doesn't answer. DatabaseUnavailable.
    """
    endpoint, bucket = ctx.settings.s3_endpoint, ctx.settings.bucket
    if endpoint is None:
        return Probed(EVERYTHING)
    with ctx.transaction() as tx:
        known = find_probed(tx.session, endpoint, bucket)
    if known is not None and _is_fresh(known, ctx.now):
        return known
    found = _probe(ctx)
    with ctx.transaction() as tx:
        save_probed(tx.session, endpoint, bucket, found)
    return found


def _is_fresh(known: Probed, now: datetime) -> bool:
    return known.at is not None and now < known.at + (_DOUBTFUL_FOR if known.problem else _GOOD_FOR)


def _probe(ctx: Context) -> Probed:
    try:
        versioned = ctx.store.versions.status(ctx.settings.bucket) == "enabled"
        return Probed(ctx.store.probe(versioned), ctx.now)
    except Refused as error:
        return Probed(NOTHING, ctx.now, f"{error} It answered {error.code}.")
