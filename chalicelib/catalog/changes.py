"""One change of one object, and the total order of the changes of a key."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

# Sorts below every digit, so it ends a sequencer: see `rank`.
_END = "!"
# Sorts above every character a rank can hold at its end: see `rank_after`.
_AFTER = "~"


class Kind(StrEnum):
    """What happened to a key. The value is the rank's tie-breaker: a removal comes before a put of the same instant."""

    REMOVAL = "0"
    PURGE = "1"
    PUT = "2"
    MARKER = "3"


# What the API and the database call a `Kind`.
ChangeName = Literal["put", "marker", "removal", "purge"]


@dataclass(frozen=True, slots=True)
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
        sha256: of the whole object, in base64, as S3 has verified it; no emitter sends it, but S3 itself may have told us.
        is_observation: S3 itself told us, in answer to a request of ours; no notification did. It is merged like one
            but is no event of the file's history: the notification of the same change still comes.
        follows: of a version or delete marker that we made ourselves, the version that was current until then.
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


def rank(sequencer: str, event_time: datetime | None, kind: Kind, etag: str = "", size: int | None = None) -> str:
    """The change's place among the changes of its key, as text that compares byte by byte (``COLLATE "C"``).

    S3 says: pad the shorter sequencer with zeros on the right, then compare as text. Dropping the zeros on the right
    instead and ending with a character below ``0`` gives the same order with no width to outgrow. Emitters whose
    sequencer is constant (LocalStack) or absent (moto) tie there and fall to the event time, then to the kind
    (removal before put), then to the payload, so that the order is total and merging stays deterministic.
    """
    return f"{sequencer.upper().rstrip('0')}{_END}{_instant(event_time)}{kind}{etag}.{'' if size is None else size}"


def rank_after(earlier: str) -> str:
    """The rank of something S3 told us itself, seen to follow ``earlier``: just above it, below any later event."""
    return (earlier or _END) + _AFTER


def rank_of_removal(version_id: str, put_rank: str) -> str:
    """The rank of a removal that S3 told us itself, of the version whose put has ``put_rank``.

    A version id is given once: what is removed under one is gone for good, whatever rank its put turns out to have when its
    own event comes. Without versions, something may be put again.
    """
    return _AFTER if version_id else rank_after(put_rank)


def _instant(event_time: datetime | None) -> str:
    """UTC to the microsecond without the offset: ISO 8601 of one width compares as text as the instants do."""
    return "" if event_time is None else event_time.isoformat(timespec="microseconds")[:26]
