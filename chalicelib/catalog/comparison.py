"""Comparing what a bucket holds of a key with what the catalogue knows of it. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from chalicelib.catalog.changes import LAST, Kind, ObjectChange, rank
from chalicelib.catalog.objects import Current, ListedVersion, Location
from chalicelib.catalog.observations import observe_listed


@dataclass(frozen=True, slots=True)
class KnownVersion:
    """A version as the catalogue knows it. See `chalicelib.db.models.versions.ObjectVersion` for what each means."""

    version_id: str
    put_rank: str
    removal_rank: str
    alive: bool
    is_delete_marker: bool
    size: int | None
    etag: str | None
    stored_at: datetime | None

    def put_at(self, location: Location) -> ObjectChange:
        """The put of this version, as the catalogue knows it. Recording it again changes no version."""
        return ObjectChange(
            kind=Kind.MARKER if self.is_delete_marker else Kind.PUT,
            bucket=location.bucket,
            key=location.key,
            version_id=self.version_id,
            rank=self.put_rank,
            event_name="",
            event_time=self.stored_at,
            size=self.size,
            etag=self.etag or "",
        )


# In place of a version id: all versions of a key were removed at once. That is no version.
PURGE = "*"
# Listings give times to the millisecond, rounded down. An earlier version may be of the same millisecond.
_LISTED_WITHIN = timedelta(microseconds=999)


class Comparison(NamedTuple):
    """How a key's history differs.

    ``changes`` are what the catalogue doesn't know. ``unlisted`` are versions that it takes to be there and that were not
    listed: a listing is a moment old, so each must be asked for before its removal is recorded. ``revived`` are versions that
    are listed, and that it takes to be removed by their ids: S3 gives an id once, so that no put can come after that.
    """

    changes: list[ObjectChange]
    unlisted: list[KnownVersion]
    revived: list[KnownVersion]


def compare(
    location: Location,
    history: Sequence[ListedVersion],
    known: Mapping[str, KnownVersion],
    sequencer_at: Callable[[datetime], str] | None = None,
    *,
    is_later: bool = False,
) -> Comparison:
    """Compare a listing of a key, the oldest version first, with the catalogue's versions by their ids.

    Afterwards the catalogue's current version is the one that was listed last: a version that ranks below the one
    before it is observed once more, above it. So it happens if two clients put a key at the same instant, and the
    store's events are numbered in another order than it took the objects.

    ``sequencer_at``: see `chalicelib.catalog.changes.CheckRequest`. If it is known, versions also rank where their own events
    would, so that they stand in the right order to other events that are still on their way.

    ``is_later``: the listing was asked for after all that is known had been recorded. So it is right whatever times say (S3's are
    whole seconds, and that of a multipart upload is of its beginning) unless it is stale: see `contradicts`.
    """
    changes: list[ObjectChange] = []
    revived: list[KnownVersion] = []
    purged = _purged(known)
    earlier: Current | None = None  # the version before
    for listed in history:
        row = known.get(listed.version_id)
        is_known = row is not None and row.put_rank >= purged and _is_recorded(row, listed, is_later=is_later)
        if row is not None and listed.version_id and not row.alive:
            revived.append(row)
        if row is not None and is_known and (earlier is None or row.put_rank > earlier.rank or not row.put_rank):
            earlier = Current(listed.version_id, row.put_rank)
        else:
            # Another object without a version id may have been in place of this one.
            is_same = is_known or bool(listed.version_id)
            above = [] if row is None else [row.put_rank] if is_same else [row.put_rank, row.removal_rank]
            above += [purged] if purged else []
            if sequencer_at is not None:
                above.append(rank(sequencer_at(listed.modified + _LISTED_WITHIN), None, Kind.REMOVAL))
            change = observe_listed(location.bucket, listed, earlier, above)
            earlier = Current(listed.version_id, change.rank)
            changes.append(change)
    return Comparison(changes, _unlisted(history, known), revived)


def _purged(known: Mapping[str, KnownVersion]) -> str:
    """Where it ranks that all versions were removed at once; empty if they weren't.

    What is listed came later, and must rank so, or the recording would remove it again.
    """
    found = known[PURGE].removal_rank if PURGE in known else ""
    return found if found < LAST else ""  # nothing ranks above that, and no purge has it: see the migration 0035


def _unlisted(history: Sequence[ListedVersion], known: Mapping[str, KnownVersion]) -> list[KnownVersion]:
    shown = {listed.version_id for listed in history}
    return [row for row in known.values() if row.alive and row.version_id not in shown and row.version_id != PURGE]


def contradicts(change: ObjectChange, known: Mapping[str, KnownVersion]) -> bool:
    """Whether what has no version id is listed as older than the object that is known in its place: then the listing may be
    stale, or both are of one second, which is all that AWS tells of a time. S3 is to be asked for it."""
    row = known.get("") if not change.version_id else None
    if row is None or not row.alive or row.stored_at is None or change.event_time is None:
        return False
    return row.stored_at > change.event_time


def by_version(rows: Iterable[KnownVersion]) -> dict[str, KnownVersion]:
    """Versions by their ids, with the tombstone of a whole key as `PURGE`."""
    return {row.version_id: row for row in rows}


def _is_recorded(row: KnownVersion, listed: ListedVersion, *, is_later: bool) -> bool:
    return _is_right(row, listed) if listed.version_id else _is_as_listed(row, listed, is_later=is_later)


def _is_right(row: KnownVersion, listed: ListedVersion) -> bool:
    """Whether a version of this id is recorded as it is listed. What an emitter left out isn't wrong, nor is a tombstone."""
    return not row.put_rank or (
        row.is_delete_marker == listed.is_marker
        and (row.size is None or listed.size is None or row.size == listed.size)
        and (not row.etag or row.etag == listed.etag)
    )


def _is_as_listed(row: KnownVersion, listed: ListedVersion, *, is_later: bool) -> bool:
    """Whether a row without a version id is the object that is listed, or a later one: the listing is a moment old.

    The same bytes may have been put again. What is still to be recorded may have removed the object in between.
    """
    if row.stored_at is None:
        return row.alive and row.etag == listed.etag
    is_same = row.alive and row.etag == listed.etag and row.stored_at >= listed.modified
    return is_same or (not is_later and row.stored_at > listed.modified)
