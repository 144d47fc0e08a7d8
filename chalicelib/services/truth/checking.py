"""Checking single keys: where a notification can't be believed, S3 is asked what its key holds."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from chalicelib.catalog.changes import CheckRequest, Kind, ObjectChange, is_of_an_event, rank
from chalicelib.catalog.comparison import KnownVersion, compare
from chalicelib.catalog.objects import Location
from chalicelib.catalog.observations import observe_unlisted
from chalicelib.db.known_versions import known_at
from chalicelib.services.context import Context

_READERS = 8


def check(ctx: Context, requests: Sequence[CheckRequest]) -> dict[Location, list[ObjectChange]]:
    """What became of the keys that these notifications name: the changes to record, at each location that has any.

    In a bucket that has never kept versions, what most of them say is believed. Of a delete marker S3 is asked whether it
    is there. Otherwise the key's versions are listed, and compared with the catalogue. The catalogue is read first: what is
    recorded meanwhile is then newer than all that is found.

    Raises:
        StoreUnavailable: S3 doesn't answer. DatabaseUnavailable.
    """
    buckets = {request.bucket for request in requests if request.holds_without_versions}
    plain = {bucket for bucket in buckets if ctx.store.versions.status(bucket) == "never"}
    found: dict[Location, list[ObjectChange]] = {}
    doubtful: dict[Location, list[CheckRequest]] = {}
    of_markers: list[CheckRequest] = []
    for request in requests:
        location = Location(request.bucket, request.key)
        if request.holds_without_versions and request.bucket in plain:
            found.setdefault(location, []).append(request.told)
        elif request.is_of_marker:
            of_markers.append(request)
        else:
            doubtful.setdefault(location, []).append(request)
    for location, changes in _look(ctx, list(doubtful)):
        told = _as_told(changes, [request.told for request in doubtful[location]])
        found.setdefault(location, []).extend(told)
    for change in _settle(ctx, of_markers):
        found.setdefault(Location(change.bucket, change.key), []).append(change)
    return found


def _settle(ctx: Context, requests: list[CheckRequest]) -> Iterable[ObjectChange]:
    """What came of delete markers: each that is there was made. Each that isn't was removed, before or by what is told.

    If no event has told of the marker before, this one tells that it was made.
    """
    if not requests:
        return []
    with ctx.transaction() as tx:
        known = known_at(tx.session, [Location(request.bucket, request.key) for request in requests])
    versions = ctx.store.versions

    def settled(told: ObjectChange) -> list[ObjectChange]:
        row = known.get(Location(told.bucket, told.key), {}).get(told.version_id)
        if versions.is_there(told.bucket, told.key, told.version_id):
            return [_as(Kind.MARKER, told)]
        if not told.version_id or (row is not None and row.put_rank != told.rank and is_of_an_event(row.put_rank)):
            return [_as(Kind.REMOVAL, told)]
        return [_as(Kind.MARKER, told), observe_unlisted(told.bucket, told.key, told.version_id, told.rank)]

    with ThreadPoolExecutor(min(_READERS, len(requests))) as pool:
        return [change for changes in pool.map(settled, [request.told for request in requests]) for change in changes]


def _as(kind: Kind, told: ObjectChange) -> ObjectChange:
    return replace(told, kind=kind, rank=rank(told.sequencer, told.event_time, kind))


def _look(ctx: Context, locations: list[Location]) -> Iterable[tuple[Location, list[ObjectChange]]]:
    """How the keys at these locations differ from the catalogue."""
    if not locations:
        return []
    with ctx.transaction() as tx:
        known = known_at(tx.session, locations)
    versions = ctx.store.versions  # here, because several threads at once would each connect a store

    def differences(location: Location) -> list[ObjectChange]:
        comparison = compare(location, versions.of_key(*location), known.get(location, {}))
        gone = [row for row in comparison.unlisted if not versions.is_there(*location, row.version_id)]
        return [*comparison.changes, *map(partial(_removal, location), gone)]

    with ThreadPoolExecutor(min(_READERS, len(locations))) as pool:
        return list(zip(locations, pool.map(differences, locations), strict=True))


def _removal(location: Location, row: KnownVersion) -> ObjectChange:
    return observe_unlisted(*location, row.version_id, row.put_rank)


def _as_told(changes: Sequence[ObjectChange], told: Sequence[ObjectChange]) -> list[ObjectChange]:
    """The changes, of which those that a notification told of are events, under the notification's name."""
    waiting = list(told)
    return [_event(change, waiting) for change in changes]


def _event(change: ObjectChange, waiting: list[ObjectChange]) -> ObjectChange:
    for told in waiting:
        if change.kind is told.kind and (change.kind is not Kind.PUT or change.etag == told.etag):
            waiting.remove(told)
            return replace(
                change,
                rank=change.rank if change.version_id else max(change.rank, told.rank),
                event_name=told.event_name,
                sequencer=told.sequencer,
                is_observation=False,
            )
    return change
