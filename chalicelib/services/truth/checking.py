"""Checking single keys: where a notification can't be believed, S3 is asked what its key holds."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from chalicelib.catalog.changes import CheckRequest, Kind, ObjectChange, is_of_an_event, rank
from chalicelib.catalog.comparison import PURGE, KnownVersion, compare
from chalicelib.catalog.objects import Location
from chalicelib.catalog.observations import observe_unlisted
from chalicelib.db.known_versions import known_at, told_at
from chalicelib.services.context import Context

_READERS = 8


def check(
    ctx: Context, requests: Sequence[CheckRequest], believed: Sequence[ObjectChange] = ()
) -> list[Sequence[ObjectChange]]:
    """What became of the keys that these notifications name: the changes to record, for each notification in their order.

    Several notifications of a key that was looked at get the same changes, which are recorded once. So none is
    acknowledged before they are recorded.

    ``believed`` are changes that are recorded together with them. If S3 holds a version no more that one of them makes,
    its removal is among the changes: the notification of it may be one of those that name no version.

    In a bucket that has never kept versions, what most of them say is believed. Of MinIO's delete markers S3 is asked
    whether they are there. Otherwise the key's versions are listed, and compared with the catalogue. The catalogue is read
    first: what is recorded meanwhile is then newer than all that is found.

    Raises:
        StoreUnavailable: S3 doesn't answer. DatabaseUnavailable.
    """
    buckets = {request.bucket for request in requests if request.holds_without_versions}
    plain = {bucket for bucket in buckets if ctx.store.versions.status(bucket) == "never"}
    found: dict[Location, list[ObjectChange]] = {}
    doubtful: dict[Location, list[CheckRequest]] = {}
    of_markers: list[ObjectChange] = []
    for request in requests:
        if _holds(request, plain):
            continue
        if request.is_of_marker:
            of_markers.append(request.told)
        else:
            doubtful.setdefault(Location(request.bucket, request.key), []).append(request)
    sure: dict[Location, set[_Name]] = {location: set() for location in doubtful}
    for change in believed:
        location = Location(change.bucket, change.key)
        if location in sure and change.version_id:
            sure[location].add(_name(change))
    for location, seen in _look(ctx, doubtful, sure):
        found.setdefault(location, []).extend(_as_told(seen, doubtful[location]))
    for change in _settle(ctx, of_markers):
        found.setdefault(Location(change.bucket, change.key), []).append(change)
    return [
        [request.told] if _holds(request, plain) else found.get(Location(request.bucket, request.key), [])
        for request in requests
    ]


def _holds(request: CheckRequest, plain: set[str]) -> bool:
    """Whether what a notification says is believed. ``plain``: the buckets that have never kept versions."""
    return request.holds_without_versions and request.bucket in plain


def _settle(ctx: Context, of_markers: Sequence[ObjectChange]) -> Iterable[ObjectChange]:
    """What came of delete markers: each that is there was made. Each that isn't was removed, by what is told or later.

    If no event has told of a marker before, this one tells that it was made.
    """
    if not of_markers:
        return []
    with ctx.transaction() as tx:
        known = known_at(tx.session, [Location(told.bucket, told.key) for told in of_markers])
    versions = ctx.store.versions

    def settle(told: ObjectChange) -> list[ObjectChange]:
        location = Location(told.bucket, told.key)
        row = known.get(location, {}).get(told.version_id)
        if versions.is_there(*location, told.version_id):
            return [_as(Kind.MARKER, told)]
        if not told.version_id or (row is not None and row.put_rank != told.rank and is_of_an_event(row.put_rank)):
            return [_as(Kind.REMOVAL, told)]
        return [_as(Kind.MARKER, told), observe_unlisted(*location, told.version_id, told.rank)]

    with ThreadPoolExecutor(min(_READERS, len(of_markers))) as pool:
        return [change for changes in pool.map(settle, of_markers) for change in changes]


def _as(kind: Kind, told: ObjectChange) -> ObjectChange:
    return replace(told, kind=kind, rank=rank(told.sequencer, told.event_time, kind))


# A version that was made, or that was removed (True).
_Name = tuple[str, bool]


def _name(change: ObjectChange) -> _Name:
    return change.version_id, change.kind is Kind.REMOVAL


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the catalogue knew of a key before S3 was asked, and the changes that it lacks.

    ``told`` are those that have an event already, or get one of their own.
    """

    location: Location
    known: dict[str, KnownVersion]
    told: set[_Name]
    changes: list[ObjectChange]


def _look(
    ctx: Context, doubtful: Mapping[Location, list[CheckRequest]], sure: Mapping[Location, set[_Name]]
) -> Iterable[tuple[Location, _Seen]]:
    if not doubtful:
        return []
    locations = list(doubtful)
    with ctx.transaction() as tx:
        known, told = known_at(tx.session, locations), told_at(tx.session, locations)
    versions = ctx.store.versions  # here, because several threads at once would each connect a store

    def look(location: Location) -> _Seen:
        rows, history = known.get(location, {}), versions.of_key(*location)
        comparison = compare(location, history, rows, doubtful[location][0].sequencer_at)
        shown = {listed.version_id for listed in history}
        unlisted = {row.version_id: row.put_rank for row in comparison.unlisted}
        made = {version_id for version_id, is_removal in sure[location] if not is_removal}
        unlisted |= dict.fromkeys(made - rows.keys() - shown, "")
        gone = [name for name in unlisted if not versions.is_there(*location, name)]
        removals = [observe_unlisted(*location, name, unlisted[name]) for name in gone]
        return _Seen(location, rows, told[location] | sure[location], [*comparison.changes, *removals])

    with ThreadPoolExecutor(min(_READERS, len(locations))) as pool:
        return list(zip(locations, pool.map(look, locations), strict=True))


def _as_told(seen: _Seen, requests: Sequence[CheckRequest]) -> list[ObjectChange]:
    """The changes to record. Those that a notification told of are events, under the notification's name, unless one has
    told of them before.

    That goes for changes that the catalogue knows already, too: Landfall may have made them itself, and nothing told of
    them until now. Recording them again changes no version.
    """
    newest_first = sorted(_versions(seen), key=lambda row: row.put_rank, reverse=True)
    puts = [row.put_at(seen.location) for row in newest_first if row.put_rank]
    waiting = [request for request in requests if not _was_refused(request.told)]
    changes = []
    for change in [*seen.changes, *puts, *_removals_again(seen)]:
        tellers = () if _name(change) in seen.told else waiting
        teller = next((one for one in tellers if _is_told_by(change, one)), None)
        if teller is not None:
            waiting.remove(teller)
            changes.append(_event(change, teller.told))
        elif change.is_observation:
            changes.append(change)
    return changes


def _versions(seen: _Seen) -> list[KnownVersion]:
    return [row for row in seen.known.values() if row.version_id != PURGE]


def _removals_again(seen: _Seen) -> list[ObjectChange]:
    """The removals of versions by their ids that Landfall has seen or done itself, as it knows them."""
    removed = [row for row in _versions(seen) if row.version_id and row.put_rank and not row.alive]
    again = [observe_unlisted(*seen.location, row.version_id, row.put_rank) for row in removed]
    known = zip(again, removed, strict=True)
    return [replace(change, is_observation=False) for change, row in known if change.rank == row.removal_rank]


def _event(change: ObjectChange, told: ObjectChange) -> ObjectChange:
    is_new_without_id = change.is_observation and not change.version_id
    return replace(
        change,
        rank=max(change.rank, told.rank) if is_new_without_id else change.rank,
        event_name=told.event_name,
        sequencer=told.sequencer,
        is_observation=False,
    )


def _was_refused(told: ObjectChange) -> bool:
    """Whether this tells of a put that Ceph refused. Of the events without a time, only those of forms have happened."""
    return told.event_time is None and told.event_name == "ObjectCreated:Put"


def _is_told_by(change: ObjectChange, request: CheckRequest) -> bool:
    told = request.told
    return (
        change.kind is told.kind
        and (change.kind is not Kind.PUT or change.etag == told.etag)
        and not _was_sent_before(request, change)
    )


def _was_sent_before(request: CheckRequest, change: ObjectChange) -> bool:
    """Whether a notification was sent before this was made."""
    if request.sequencer_at is None or not request.told.sequencer or change.event_time is None:
        return False
    return request.told.sequencer.upper() < request.sequencer_at(change.event_time).upper()
