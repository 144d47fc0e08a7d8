"""Comparing a range of keys: the bucket's listing, a page at a time, with what the catalogue knows.

The catalogue is looked at once, after a page has come. What was written to it since before the page was asked for may be newer
than the page. Keys of which that is so, and what isn't listed any more, are left for a second look.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby, takewhile
from uuid import UUID

from chalicelib.catalog.audits import Audit, DriftKind
from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.comparison import Comparison, KnownVersion, compare, contradicts
from chalicelib.catalog.objects import ListedVersion, Location
from chalicelib.db import audit_ranges, comparing, findings
from chalicelib.db.audit_ranges import Counts, Range
from chalicelib.db.comparing import KnownKey, Snapshot
from chalicelib.db.findings import Finding
from chalicelib.db.recording import record_changes
from chalicelib.services.context import Context, Transaction
from chalicelib.services.truth.allowances import Allowance
from chalicelib.store.versions import History, oldest_first

_EXAMPLES = 10  # of each page


@dataclass(frozen=True, slots=True)
class _Batch:
    """Whole histories of consecutive keys, up to ``until`` (None: to the end of the range), and the look before them."""

    histories: dict[str, History]
    until: str | None
    looked: Snapshot


@dataclass(slots=True)
class _Found:
    """What a batch brings. What is younger than ``young`` may still be told of."""

    repairs: bool
    young: datetime
    changes: list[ObjectChange] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    missing: int = 0
    different: int = 0


def compare_range(ctx: Context, audit: Audit, claimed: Range, worker: UUID, allowance: Allowance) -> None:
    """Compare a range until its end, or until nothing more is allowed or another worker has taken it.

    Raises:
        StoreUnavailable, DatabaseUnavailable.
    """
    position = claimed.position
    for batch in _batches(ctx, audit, position, allowance):
        with ctx.transaction() as tx:
            kept = audit_ranges.keep_range(tx.session, claimed.id, worker)
            if kept is None:
                return
            if batch is None:
                audit_ranges.renew_range(tx.session, kept.id)
                continue
            is_last = batch.until is None or (kept.until is not None and batch.until >= kept.until)
            until = kept.until if is_last else batch.until
            _compare(tx, audit, kept, replace(batch, until=until), is_last=is_last)
        if is_last or not allowance.is_left:
            return


def _batches(ctx: Context, audit: Audit, after: str, allowance: Allowance) -> Iterator[_Batch | None]:
    """Pages of the listing, cut where a key's history is whole; None for a page in which none is. The next page is fetched while
    one is compared."""
    pages = ctx.store.versions.pages(audit.bucket, audit.prefix, after)

    def fetch() -> tuple[Snapshot, list[ListedVersion] | None]:
        with ctx.transaction() as tx:
            looked = comparing.take_snapshot(tx.session)
        allowance.spend(1)
        return looked, next(pages, None)

    rest: list[ListedVersion] = []
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(fetch)
        before: Snapshot | None = None  # the look before the key whose history isn't whole yet
        while True:
            looked, page = coming.result()
            if page is None:
                yield _Batch(_histories(rest), None, before or looked)
                return
            coming = pool.submit(fetch)
            whole, rest = _cut(rest, page)
            if not whole:
                before = before or looked
                yield None
                continue
            yield _Batch(_histories(whole), whole[-1].key, before or looked)
            before = looked


def _cut(rest: list[ListedVersion], page: list[ListedVersion]) -> tuple[list[ListedVersion], list[ListedVersion]]:
    """The versions of keys that end before the last key of a page, and those of this key, which may go on."""
    if not page:
        return [], rest
    last = page[-1].key
    begin = len(page) - sum(1 for _ in takewhile(lambda entry: entry.key == last, reversed(page)))
    if begin or (rest and rest[-1].key != last):
        return rest + page[:begin], page[begin:]
    rest.extend(page)  # a key may have a thousand pages
    return [], rest


def _histories(entries: Sequence[ListedVersion]) -> dict[str, History]:
    histories: dict[str, History] = {}
    for key, versions in groupby(entries, key=lambda entry: entry.key):
        history = list(versions)
        histories[key] = history if len(history) == 1 else oldest_first(history)
    return histories


def _compare(tx: Transaction, audit: Audit, kept: Range, batch: _Batch, *, is_last: bool) -> None:
    """Compare a batch, record what differs, and note how far the range is: all of it or nothing."""
    until = batch.until
    histories = batch.histories
    if until is not None and is_last:
        histories = {key: history for key, history in histories.items() if key <= until}
    listed = [(version, place) for history in histories.values() for place, version in enumerate(history, 1)]
    keys = comparing.Keys(audit.bucket, audit.prefix, kept.position, until)
    differing = comparing.find_differing(tx.session, keys, listed)
    known = comparing.known_keys(tx.session, audit.bucket, differing, batch.looked)
    found = _Found(audit.repairs, tx.now - timedelta(seconds=audit.grace_seconds))
    for key in differing:
        _judge(found, Location(audit.bucket, key), histories.get(key, []), known.get(key))
    if audit.repairs and found.changes:
        record_changes(tx.session, found.changes, tx.now)
    findings.add_findings(tx.session, audit.id, found.findings)
    recorded = len(found.changes) if audit.repairs else 0
    counts = Counts(len(listed), found.missing, found.different, recorded=recorded)
    audit_ranges.advance_range(tx.session, kept.id, None if is_last else until, counts)


def _judge(found: _Found, location: Location, history: History, row: KnownKey | None) -> None:
    """Decide what differs in one key, or that it is to be looked at again."""
    versions: dict[str, KnownVersion] = {} if row is None else row.versions
    comparison: Comparison = compare(location, history, versions, is_later=True)
    is_doubtful = any(contradicts(change, versions) for change in comparison.changes)
    if (row is not None and row.is_new) or comparison.revived or is_doubtful:
        found.findings.append(Finding(location.key, "", "unsure"))
        return
    young = [change for change in comparison.changes if change.event_time and change.event_time > found.young]
    if young and not found.repairs:
        found.findings.append(Finding(location.key, "", "unsure"))
        return
    for change in comparison.changes:
        is_missing = change.version_id not in versions or not versions[change.version_id].put_rank
        if change in young:
            continue
        found.missing += is_missing
        found.different += not is_missing
        if found.missing + found.different <= _EXAMPLES:
            kind: DriftKind = "missing" if is_missing else "different"
            found.findings.append(Finding(location.key, change.version_id, kind, is_settled=True))
    found.changes += comparison.changes
    found.findings += [Finding(location.key, gone.version_id, "gone", gone.put_rank) for gone in comparison.unlisted]
