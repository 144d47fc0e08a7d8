"""One change of one object, and the total order of the changes of a key."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Literal, TypeVar, dataclass_transform

# Sorts below every digit, so it ends a sequencer: see `rank`.
_END = "!"
# Sorts above every character a rank can hold at its end: see `rank_after`.
_AFTER = "~"
# Where a removal by id ranks: above everything.
LAST = _AFTER


class Kind(StrEnum):
    """What happened to a key. The value is part of the rank: at the same instant, a removal comes before a put."""

    REMOVAL = "0"
    PURGE = "1"
    PUT = "2"
    MARKER = "3"


# What the API and the database call a `Kind`.
ChangeName = Literal["put", "marker", "removal", "purge"]


_T = TypeVar("_T")


@dataclass_transform(frozen_default=True)
def _value(kind: type[_T]) -> type[_T]:
    """A frozen dataclass for the type checker only: at run time, freezing makes each new object four times as expensive."""
    return dataclass(slots=True, unsafe_hash=True)(kind)


@_value
class ObjectChange:
    """A put, a delete marker, a removal of one version, or a purge of all versions of a key.

    Attributes:
        version_id: ``""`` for an unversioned object and for S3's ``"null"`` version; ``"*"`` for a purge.
        rank: place in the total order of the key's changes; see `rank`.
        event_name: the emitter's own name of the change, without MinIO's ``s3:`` prefix.
        sequencer: as sent; ``""`` if absent.
        size: bytes; None if the notification doesn't say.
        etag: without quotes; ``""`` if the notification doesn't say.
        media_type, metadata: only some emitters (MinIO) send them.
        sha256: of the whole object, in base64, if S3 has verified it. Emitters don't send it; observations may have it.
        is_observation: we saw the change in S3's answer to a request; no notification told of it. It is merged like
            any other change, but isn't an event: the notification of the same change still comes.
        follows: the version that was current before this version or delete marker. Only an observation may know it.
    """

    kind: Kind
    bucket: str
    key: str
    version_id: str
    rank: str
    event_name: str
    event_time: datetime | None = None
    sequencer: str = ""
    size: int | None = None
    etag: str = ""
    media_type: str | None = None
    metadata: dict[str, str] | None = None
    sha256: str | None = None
    is_observation: bool = False
    follows: str | None = None


@dataclass(frozen=True, slots=True)
class InspectionRequest:
    """A notification that changes no state but says that S3 knows something new of the object (tags, ACL, class)."""

    bucket: str
    key: str
    version_id: str
    event_name: str


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """A notification that can't be believed as it is: S3 must be asked what the key holds.

    Attributes:
        told: what the notification says.
        holds_without_versions: whether that is true in a bucket that has never kept versions.
        sequencer_at: how the emitter's sequencers begin for what happens at a moment. Those of Ceph are clocks.
        is_of_marker: a delete marker of this version id came or went (MinIO doesn't say which), and is all to be asked for.
    """

    told: ObjectChange
    holds_without_versions: bool
    sequencer_at: Callable[[datetime], str] | None = None
    is_of_marker: bool = False

    @property
    def bucket(self) -> str:
        return self.told.bucket

    @property
    def key(self) -> str:
        return self.told.key


def rank(sequencer: str, event_time: datetime | None, kind: Kind, etag: str = "", size: int | None = None) -> str:
    """The change's place among the changes of its key, as text that compares byte by byte (``COLLATE "C"``).

    S3 says: pad the shorter sequencer with zeros on the right, then compare as text. We drop the zeros on the right
    instead, and end with a character below ``0``. That gives the same order, and needs no fixed width. Some emitters
    send a constant sequencer (LocalStack) or none (moto). Their changes are ordered by the event time, then by the kind
    (removal before put), then by the payload. So the order is total, and merging stays deterministic.
    """
    return f"{sequencer.upper().rstrip('0')}{_END}{instant(event_time)}{kind}{etag}.{'' if size is None else size}"


def rank_after(earlier: str) -> str:
    """The rank of an observation that follows the rank ``earlier``: just above it, and below any later event."""
    return (earlier or _END) + _AFTER


def is_of_an_event(known_rank: str) -> bool:
    """Whether an event has this rank, and no observation. It can be told only if the emitter sends sequencers."""
    return known_rank != "" and not known_rank.startswith(_END) and not known_rank.endswith(_AFTER)


def rank_of_removal(version_id: str, put_rank: str) -> str:
    """The rank of an observed removal. ``put_rank`` is the rank of the removed version's put.

    S3 gives a version id only once, so a version that was removed by its id never comes back. Its removal must outrank
    the put, also when the put's own event comes later, with a higher rank. Without versions, the key may be put again.
    """
    return LAST if version_id else rank_after(put_rank)


def instant(moment: datetime | None) -> str:
    """A time in UTC, to the microsecond, without its offset; empty if there is none. All have one width, so they compare as text
    like times."""
    return "" if moment is None else _as_text(moment)


# Of each event it is needed twice. Writing a time takes longer than any other part of recording an event in Python.
@lru_cache(maxsize=2048)
def _as_text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")[:26]
