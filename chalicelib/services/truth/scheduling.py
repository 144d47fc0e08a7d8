"""Audits that the clock begins: of every bucket as a whole, and more often of the folders that were written to lately.

They repair what they find. `LANDFALL_AUDIT_MINUTES`, `LANDFALL_AUDIT_ACTIVE_MINUTES` and `LANDFALL_AUDIT_REQUESTS` bound them.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta

from chalicelib.catalog.audits import AuditRequest, BucketTruth
from chalicelib.db import audit_schedule, audits
from chalicelib.services.context import Context, Transaction
from chalicelib.services.truth.buckets import recorded_buckets

_RECENT_KEYS = 2_000
_FOLDERS = 20
_PROBES = 60
_LARGE = 20_000  # versions: a folder with more is looked at by its folders
_KEPT = timedelta(days=30)
_KEPT_SCHEDULED = timedelta(days=2)


def begin_due_audits(ctx: Context) -> int:
    """Begin the audits whose time has come; returns how many."""
    settings = ctx.settings
    with ctx.transaction() as tx:
        buckets = recorded_buckets(tx)
        begun = 0
        if settings.audit_minutes:
            since = tx.now - timedelta(minutes=settings.audit_minutes)
            for bucket in audit_schedule.due_buckets(tx.session, buckets, since):
                begun += _begin(tx, bucket, "")
        if settings.audit_active_minutes:
            since = tx.now - timedelta(minutes=settings.audit_active_minutes)
            for bucket in audit_schedule.due_buckets(tx.session, buckets, since, any_prefix=True):
                keys = audit_schedule.recent_keys(tx.session, bucket, since, _RECENT_KEYS)
                begun += sum(_begin(tx, bucket, folder) for folder in _active_folders(tx, bucket, keys))
        return begun


def _begin(tx: Transaction, bucket: str, prefix: str) -> bool:
    return audit_schedule.begin_scheduled(tx.session, AuditRequest(bucket, prefix, repairs=True), tx.now)


def _active_folders(tx: Transaction, bucket: str, keys: Iterable[str]) -> list[str]:
    return active_folders(keys, lambda folder: audit_schedule.is_large(tx.session, bucket, folder, _LARGE))


def active_folders(keys: Iterable[str], is_large: Callable[[str], bool]) -> list[str]:
    """The folders of most of these keys, each the topmost that isn't large. Keys outside of any such are left out."""
    found: dict[str, int] = {}
    waiting, probes = [("", list(keys))], 0
    while waiting:
        parent, inside = waiting.pop(0)
        parts: dict[str, list[str]] = {}
        for key in inside:
            if (end := key.find("/", len(parent))) >= 0:
                parts.setdefault(key[: end + 1], []).append(key)
        for folder, some in sorted(parts.items(), key=lambda part: -len(part[1])):
            if probes == _PROBES:
                break
            probes += 1
            if is_large(folder):
                waiting.append((folder, some))
            else:
                found[folder] = len(some)
    return sorted(found, key=lambda folder: -found[folder])[:_FOLDERS]


def forget_old_audits(ctx: Context) -> int:
    """Forget audits that ended long ago; returns how many. Those that say how well a bucket is known stay."""
    with ctx.transaction() as tx:
        return audit_schedule.forget_audits(tx.session, tx.now - _KEPT, tx.now - _KEPT_SCHEDULED)


def known_truth(ctx: Context) -> list[BucketTruth]:
    """How well each bucket is known whose events are recorded."""
    with ctx.transaction() as tx:
        names = recorded_buckets(tx)
        return [one for one in audits.truth_of(tx.session, names, tx.now) if one.bucket in names]
