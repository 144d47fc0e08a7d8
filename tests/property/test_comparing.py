"""Whatever events got lost, and in whatever order the others came: after a comparison the catalogue is what S3 lists."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from chalicelib.catalog.comparison import compare
from chalicelib.catalog.notifications import parse_message
from chalicelib.catalog.objects import ListedVersion, Location
from chalicelib.catalog.observations import observe_unlisted
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.db.known_versions import known_at
from chalicelib.db.recording import record_changes
from tests.support.listings import listed_by_catalogue
from tests.support.notifications import NOON, body, s3_record
from tests.support.recording import deliver_messages

EXAMPLES = int(os.environ.get("LANDFALL_HISTORIES", "2000")) // 20
KEYS_AT_ONCE = 10

_names = count()


def clock(moment: datetime) -> str:
    """A sequencer that is a clock: the nanoseconds of MinIO."""
    return f"{int(moment.timestamp()) * 10**9 + moment.microsecond * 1000:X}"


@dataclass
class Key:
    """A key of a pretend bucket: what S3 lists of it, the oldest first, and the events that S3 sent."""

    location: Location
    random: Random
    has_clock: bool
    versioning: str = "never"
    versions: list[ListedVersion] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    now: datetime = NOON
    numbers: Any = field(default_factory=lambda: count(1))

    def act(self) -> None:
        """Do one random thing."""
        self.now += timedelta(microseconds=self.random.choice([1000, 1500, 1_000_000]))
        choices = ["put", "put", "delete", "switch"] + ["remove"] * bool(self.versions and self.versioning != "never")
        getattr(self, f"_{self.random.choice(choices)}")()

    def _switch(self) -> None:
        self.versioning = "suspended" if self.versioning == "enabled" else "enabled"

    def _put(self) -> None:
        self._add("ObjectCreated:Put", is_marker=False, etag=f"{self.random.randrange(3):032x}")

    def _delete(self) -> None:
        if self.versioning == "never":
            self._drop("")
            self._emit("ObjectRemoved:Delete", None)
        else:
            self._add("ObjectRemoved:DeleteMarkerCreated", is_marker=True)

    def _remove(self) -> None:
        version = self.random.choice(self.versions)
        self._drop(version.version_id)
        self._emit("ObjectRemoved:Delete", version.version_id or "null")

    def _add(self, event: str, *, is_marker: bool, etag: str = "") -> None:
        version_id = f"v{next(self.numbers)}" if self.versioning == "enabled" else ""
        if not version_id:
            self._drop("")
        at = self.now.replace(microsecond=self.now.microsecond // 1000 * 1000)
        size = None if is_marker else 7
        self.versions.append(ListedVersion(self.location.key, version_id, is_marker, False, at, size, etag))
        told_id = version_id or (None if self.versioning == "never" else "null")
        self._emit(event, told_id, **({} if is_marker else {"size": 7, "etag": etag}))

    def _drop(self, version_id: str) -> None:
        self.versions = [version for version in self.versions if version.version_id != version_id]

    def _emit(self, event: str, version_id: str | None, **fields: Any) -> None:
        at = self.now + timedelta(microseconds=self.random.choice([0, 1, 400]))
        sequencer = clock(at) if self.has_clock else f"{next(self.numbers):04X}"
        fields |= {"bucket": self.location.bucket, "version_id": version_id, "sequencer": sequencer, "time": at}
        self.events.append(body(s3_record(event, self.location.key, **fields)))

    @property
    def listing(self) -> set[tuple[Any, ...]]:
        """As `listed_by_catalogue` says it."""
        return {
            (v.key, v.version_id, v.size, None if v.is_marker else v.etag, v is self.versions[-1], v.is_marker)
            for v in self.versions
        }


@pytest.fixture(scope="module")
def engine(database_url: str) -> Engine:
    return create_catalog_engine(database_url)


def check_all(engine: Engine, keys: list[Key], sequencer_at: Callable[[datetime], str] | None) -> int:
    """Compare each key with the catalogue and record what differs; returns how much that was."""
    with transaction(engine) as session:
        known = known_at(session, [key.location for key in keys])
    changes = []
    for key in keys:
        found = compare(key.location, key.versions, known.get(key.location, {}), sequencer_at)
        changes += found.changes
        changes += [observe_unlisted(*key.location, row.version_id, row.put_rank) for row in found.unlisted]
    with transaction(engine) as session:
        record_changes(session, changes, NOON)
    return len(changes)


@settings(
    max_examples=max(1, EXAMPLES),
    deadline=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**63), has_clock=st.booleans())
def test_after_a_comparison_the_catalogue_is_what_s3_lists(engine: Engine, seed: int, has_clock: bool) -> None:
    random = Random(seed)
    bucket = f"compared-{os.getpid()}-{next(_names)}"
    keys = [Key(Location(bucket, f"k{number}"), random, has_clock) for number in range(KEYS_AT_ONCE)]
    for key in keys:
        for _ in range(random.randint(1, 10)):
            key.act()
    came, late = [], []
    for key in keys:
        share = random.choice([0, 0.5, 0.9])
        for event in key.events:
            (came if random.random() < share else late).append(event)
    random.shuffle(came)
    if came:
        deliver_messages(engine, came)

    sequencer_at = clock if has_clock else None
    check_all(engine, keys, sequencer_at)

    expected: set[tuple[Any, ...]] = set().union(*(key.listing for key in keys))
    assert listed_by_catalogue(engine, bucket) == expected
    assert check_all(engine, keys, sequencer_at) == 0

    # What was late comes after all, and so does some of the rest once more.
    random.shuffle(late)
    deliver_messages(engine, [*late, *random.sample(came, len(came) // 2)])
    assert listed_by_catalogue(engine, bucket) == expected


def test_events_of_what_came_before_change_nothing_where_sequencers_are_clocks(engine: Engine) -> None:
    """The event of the object that is there was lost for ever; the earlier ones come after the comparison."""
    bucket = f"compared-{os.getpid()}-{next(_names)}"
    key = Key(Location(bucket, "key"), Random(1), has_clock=True)
    for act in (key._put, key._delete, key._put):
        act()
        key.now += timedelta(milliseconds=2)
    check_all(engine, [key], clock)

    deliver_messages(engine, [key.events[1], key.events[0]])

    assert listed_by_catalogue(engine, bucket) == key.listing
    assert check_all(engine, [key], clock) == 0


def test_every_event_is_understood() -> None:
    """Or the property would hold of less than it says."""
    key = Key(Location("bucket", "key"), Random(1), has_clock=True)
    for _ in range(50):
        key.act()
    kinds = {event.event_name for message in key.events for event in parse_message(message)}  # type: ignore[union-attr]
    assert len(kinds) == 3
