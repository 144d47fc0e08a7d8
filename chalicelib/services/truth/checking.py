"""Checking single keys: where a notification can't be believed, S3 is asked what its key holds."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from chalicelib.catalog.changes import CheckRequest, Kind, ObjectChange
from chalicelib.catalog.comparison import KnownVersion, compare
from chalicelib.catalog.objects import Location
from chalicelib.catalog.observations import observe_unlisted
from chalicelib.db.known_versions import known_at
from chalicelib.services.context import Context

_READERS = 8


def check(ctx: Context, requests: Sequence[CheckRequest]) -> dict[Location, list[ObjectChange]]:
    """What became of the keys that these notifications name: the changes to record, at each location that has any.

    In a bucket that has never kept versions, what most of them say is believed. Otherwise the key's versions are listed,
    and compared with the catalogue. The catalogue is read first: what is recorded meanwhile is then newer than all that
    is found.

    Raises:
        StoreUnavailable: S3 doesn't answer. DatabaseUnavailable.
    """
    buckets = {request.bucket for request in requests if request.holds_without_versions}
    plain = {bucket for bucket in buckets if ctx.store.versions.status(bucket) == "never"}
    found: dict[Location, list[ObjectChange]] = {}
    doubtful: dict[Location, list[CheckRequest]] = {}
    for request in requests:
        location = Location(request.bucket, request.key)
        if request.holds_without_versions and request.bucket in plain:
            found.setdefault(location, []).append(request.told)
        else:
            doubtful.setdefault(location, []).append(request)
    for location, changes in _look(ctx, list(doubtful)):
        told = _as_told(changes, [request.told for request in doubtful[location]])
        found.setdefault(location, []).extend(told)
    return found


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
        if _is_told_by(change, told):
            waiting.remove(told)
            return replace(
                change,
                rank=change.rank if change.version_id else max(change.rank, told.rank),
                event_name=told.event_name,
                sequencer=told.sequencer,
                is_observation=False,
            )
    return change


def _is_told_by(change: ObjectChange, told: ObjectChange) -> bool:
    if change.version_id and change.version_id == told.version_id:
        return True  # MinIO confuses delete markers that come with removals
    return change.kind is told.kind and (change.kind is not Kind.PUT or change.etag == told.etag)
