"""Whatever events got lost, and in whatever order the others came: after a comparison the catalogue is what S3 lists."""

import os
from collections.abc import Callable
from datetime import datetime
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from chalicelib.catalog.comparison import compare
from chalicelib.catalog.objects import Location
from chalicelib.catalog.observations import observe_unlisted
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.db.known_versions import known_at
from chalicelib.db.recording import record_changes
from tests.support.listings import listed_by_catalogue
from tests.support.notifications import NOON, body, s3_record
from tests.support.pretend_keys import PretendKey
from tests.support.recording import deliver_messages

EXAMPLES = int(os.environ.get("LANDFALL_HISTORIES", "2000")) // 20
KEYS_AT_ONCE = 10

_names = count()


def clock(moment: datetime) -> str:
    """A sequencer that is a clock: the nanoseconds of MinIO."""
    return f"{int(moment.timestamp()) * 10**9 + moment.microsecond * 1000:X}"


class Emitter:
    """Makes the events of acts, with sequencers that are clocks or that just rise."""

    def __init__(self, has_clock: bool) -> None:
        self._has_clock, self._numbers = has_clock, count(1)
        self.messages: list[str] = []

    def __call__(self, location: Location, event: str, version_id: str | None, at: datetime, **fields: Any) -> None:
        sequencer = clock(at) if self._has_clock else f"{next(self._numbers):04X}"
        fields |= {"bucket": location.bucket, "version_id": version_id, "sequencer": sequencer, "time": at}
        self.messages.append(body(s3_record(event, location.key, **fields)))


@pytest.fixture(scope="module")
def engine(database_url: str) -> Engine:
    return create_catalog_engine(database_url)


def check_all(engine: Engine, keys: list[PretendKey], sequencer_at: Callable[[datetime], str] | None) -> int:
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
    emitters = [Emitter(has_clock) for _ in range(KEYS_AT_ONCE)]
    keys = [PretendKey(Location(bucket, f"k{n}"), random, emitter) for n, emitter in enumerate(emitters)]
    for key in keys:
        for _ in range(random.randint(1, 10)):
            key.act()
            if random.random() < 0.2:
                key.switch()
    came, late = [], []
    for emitter in emitters:
        share = random.choice([0, 0.5, 0.9])
        for event in emitter.messages:
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
    emitter = Emitter(has_clock=True)
    key = PretendKey(Location(bucket, "key"), Random(1), emitter)
    for act in (key.put, key.delete, key.put):
        key.tick()
        act()
    check_all(engine, [key], clock)

    deliver_messages(engine, [emitter.messages[1], emitter.messages[0]])

    assert listed_by_catalogue(engine, bucket) == key.listing
    assert check_all(engine, [key], clock) == 0
