"""Random histories of a bucket, and the plain model that says what the catalogue must hold after them.

The history is made by acting on a pretend bucket, so its events are those that S3 would send. The model then replays
the events in rank order, one by one, with none of the catalogue's machinery: no maxima, no tombstones, no SQL.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from chalicelib.catalog.changes import Kind, ObjectChange
from tests.support.notifications import NOON, s3_record

PUTS = ["ObjectCreated:Put", "ObjectCreated:Post", "ObjectCreated:Copy", "ObjectCreated:CompleteMultipartUpload"]
EMITTERS = ["aws", "constant-sequencer", "no-sequencer", "coarse-clock"]


@dataclass
class Bucket:
    """A pretend bucket that writes down the notification of everything done to it."""

    name: str
    versioning: str  # "plain", "versioned", or "suspended": markers and puts then share the "null" version
    emitter: str
    random: Random
    events: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, list[str]] = field(default_factory=dict)
    ticks: int = 0

    def act(self, key: str) -> None:
        """Do one random thing to ``key``."""
        known = self.versions.setdefault(key, [])
        choices = ["put", "put", "delete"]
        if self.versioning != "plain" and known:
            choices += ["remove", "remove latest"]
        if self.emitter == "aws":
            choices += ["expire", "purge"] if self.random.random() < 0.2 else []
        getattr(self, "_" + self.random.choice(choices).replace(" ", "_"))(key, known)

    def _put(self, key: str, known: list[str]) -> None:
        self._emit(
            self.random.choice(PUTS), key, self._new_version(known),
            size=self.random.randrange(100), etag=f"{self.random.randrange(8):032x}",
        )  # fmt: skip

    def _delete(self, key: str, known: list[str], family: str = "ObjectRemoved") -> None:
        if self.versioning == "plain":
            self._emit(f"{family}:Delete", key, None)
        else:
            self._emit(f"{family}:DeleteMarkerCreated", key, self._new_version(known))

    def _expire(self, key: str, known: list[str]) -> None:
        self._delete(key, known, "LifecycleExpiration")

    def _remove(self, key: str, known: list[str]) -> None:
        self._emit("ObjectRemoved:Delete", key, known.pop(self.random.randrange(len(known))))

    def _remove_latest(self, key: str, known: list[str]) -> None:
        self._emit("ObjectRemoved:Delete", key, known.pop())

    def _purge(self, key: str, known: list[str]) -> None:
        known.clear()
        self._emit("s3:ObjectRemoved:DeleteAllVersions", key, None)

    def _new_version(self, known: list[str]) -> str | None:
        if self.versioning == "plain":
            return None
        suspended = self.versioning == "suspended" and self.random.random() < 0.7
        version = "null" if suspended else f"v{self.random.getrandbits(48):012x}"
        if version in known:
            known.remove(version)
        known.append(version)
        return version

    def _emit(
        self, event: str, key: str, version_id: str | None, size: int | None = None, etag: str | None = None
    ) -> None:
        self.ticks += self.random.choice([1, 1, 2, 255])
        coarse = self.emitter == "coarse-clock"
        self.events.append(
            s3_record(
                event,
                key,
                bucket=self.name,
                version_id=version_id,
                size=size,
                etag=etag,
                sequencer=self._sequencer(),
                time=NOON + timedelta(milliseconds=0 if coarse else self.ticks),
            )
        )

    def _sequencer(self) -> str | None:
        if self.emitter == "constant-sequencer":
            return "0055AED6DCD90281E5"
        if self.emitter == "no-sequencer":
            return None
        # As on AWS, trailing zeros may be missing: the lengths differ.
        return f"{0x55AED6DC0000 + self.ticks * 16:016X}".rstrip("0") or "0"


def random_history(random: Random, bucket: str, actions: int) -> list[dict[str, Any]]:
    """The notifications, in order, of ``actions`` random actions on up to three keys of one bucket."""
    pretend = Bucket(bucket, random.choice(["plain", "versioned", "suspended"]), random.choice(EMITTERS), random)
    keys = ["a b+c/é%2F🎉", "k", "k/"][: random.randint(1, 3)]
    for _ in range(actions):
        pretend.act(random.choice(keys))
    return pretend.events


@dataclass
class Model:
    """What the catalogue must hold: the result of replaying changes one by one in rank order.

    ``versions`` maps a version id to the change that made it; dead ones are gone. ``files`` maps a key to its current
    change, or None for a tombstone.
    """

    versions: dict[tuple[str, str], dict[str, ObjectChange]] = field(default_factory=dict)
    files: dict[tuple[str, str], ObjectChange | None] = field(default_factory=dict)
    events: set[tuple[str, str, str, str]] = field(default_factory=set)


def replay(changes: Iterable[ObjectChange]) -> Model:
    """The model of a set of changes. Repeated ones count once; the order given doesn't matter."""
    model = Model()
    for change in sorted(changes, key=lambda c: c.rank):
        name = (change.bucket, change.key)
        model.events.add((*name, change.version_id, change.rank))
        versions = model.versions.setdefault(name, {})
        versions.pop(change.version_id, None)
        if change.kind is Kind.PURGE:
            versions.clear()
        elif change.kind in (Kind.PUT, Kind.MARKER):
            versions[change.version_id] = change
        if change.kind is Kind.PUT or name in model.files:
            model.files[name] = _current(versions)
    return model


def _current(versions: dict[str, ObjectChange]) -> ObjectChange | None:
    latest = max(versions.values(), key=lambda c: (c.rank, c.version_id), default=None)
    return latest if latest is not None and latest.kind is Kind.PUT else None


def scramble(random: Random, events: Sequence[Any], duplicates: float = 0.3) -> list[list[Any]]:
    """The events as a queue might deliver them: repeated, out of order, in batches of any size."""
    delivered = list(events) + [event for event in events if random.random() < duplicates]
    random.shuffle(delivered)
    batches = []
    while delivered:
        size = random.randint(1, len(delivered))
        batches.append(delivered[:size])
        delivered = delivered[size:]
    return batches
