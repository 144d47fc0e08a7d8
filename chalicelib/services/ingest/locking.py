"""Object Lock: each version of the bucket is locked as soon as its event is worked on.

The bucket has no default retention. With one, S3 takes no upload without a checksum, and browsers, which use links and forms,
send none: see docs/decisions/0039-object-lock-and-a-replica.md.
"""

from datetime import timedelta

from chalicelib.catalog.objects import Location
from chalicelib.services.context import Context


def lock_version(ctx: Context, location: Location, version_id: str) -> None:
    """Lock a version for `LANDFALL_LOCK_DAYS` since it was put. Doing it again changes nothing.

    Nothing is done for buckets other than our own, without that setting, or if the version is locked for longer.

    Raises:
        NotFound: there is no such version. StoreUnavailable: S3 doesn't answer, or refuses.
    """
    settings = ctx.settings
    if not settings.lock_days or location.bucket != settings.bucket:
        return
    named = version_id or "null"
    head = ctx.store.head(*location, named)
    until = (head.last_modified or ctx.now) + timedelta(days=settings.lock_days)
    is_locked = head.locked_until is not None and head.locked_until >= until
    if until > ctx.now and not is_locked:
        ctx.store.lock(*location, named, settings.lock_mode, until)
