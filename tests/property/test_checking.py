"""Whatever Ceph leaves out of its events, and in whatever order a batch brings them: the catalogue ends as what S3 lists.

And the history tells of each version once, however often a notification came. What is not promised: if the removal of a
version, told without its id, comes a batch earlier than its put, that version is known until the next audit.
"""

import os
from collections import Counter
from datetime import datetime
from itertools import count
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from chalicelib.catalog.changes import CheckRequest, ObjectChange
from chalicelib.catalog.notifications import parse_message
from chalicelib.catalog.objects import ListedVersion, Location
from chalicelib.db.engine import create_catalog_engine
from chalicelib.services.ingest.recording import record_events
from chalicelib.services.truth.checking import check
from tests.support.contexts import context_on
from tests.support.listings import listed_by_catalogue
from tests.support.notifications import body, ceph_record
from tests.support.pretend_keys import PretendKey

EXAMPLES = int(os.environ.get("LANDFALL_HISTORIES", "2000")) // 50

_names = count()


@pytest.fixture(scope="module")
def engine(database_url: str) -> Engine:
    return create_catalog_engine(database_url)


class Cluster:
    """Pretend keys of one bucket, as S3 lists them, and Ceph's notifications of what was done to them."""

    def __init__(self, random: Random, bucket: str, kind: str) -> None:
        self.random, self.bucket = random, bucket
        self.waiting: list[str] = []
        self.all: list[str] = []
        self.is_plain = kind == "plain"
        # Of two versions with the same bytes, nobody can say which an event tells of that names none.
        etags = 3 if self.is_plain else 10**9
        names = [f"k{number}" for number in range(6)]
        self.keys = {name: PretendKey(Location(bucket, name), random, self._emit, etags=etags) for name in names}
        if not self.is_plain:
            for key in self.keys.values():
                key.switch()

    # --- what is done

    def act(self) -> None:
        if not self.is_plain and self.random.random() < 0.05:
            for key in self.keys.values():  # versioning is the bucket's
                key.switch()
        key = self.random.choice(list(self.keys.values()))
        key.act()
        if self.random.random() < 0.2:
            # A put that Ceph refuses sends an event, too.
            etag = next((version.etag for version in key.versions), "0" * 32)
            self._note(
                ceph_record("ObjectCreated:Put", key.location.key, bucket=self.bucket, size=7, etag=etag, at=key.now)
            )

    def _emit(self, location: Location, event: str, version_id: str | None, at: datetime, **fields: Any) -> None:
        says = version_id if version_id and self.random.random() < 0.5 else ""
        time: datetime | None = at
        if event == "ObjectCreated:Put" and self.random.random() < 0.2:
            event, says, time = "ObjectCreated:Post", "", None  # a form
        self._note(ceph_record(event, location.key, bucket=self.bucket, version_id=says, at=at, time=time, **fields))

    def _note(self, record: dict[str, Any]) -> None:
        self.waiting.append(body(record))
        self.all.append(body(record))

    # --- what S3 says

    @property
    def store(self) -> Any:
        return SimpleNamespace(versions=self)

    def status(self, bucket: str) -> str:
        return next(iter(self.keys.values())).versioning

    def of_key(self, bucket: str, key: str) -> list[ListedVersion]:
        return self.keys[key].versions

    def is_there(self, bucket: str, key: str, version_id: str) -> bool:
        return any(version.version_id == version_id for version in self.keys[key].versions)


def ingest(engine: Engine, cluster: Cluster, messages: list[str]) -> None:
    """Record a batch, as `app.ingest` does."""
    context = context_on(engine, cluster.store)
    events = [event for message in messages for event in parse_message(message)]
    believed = [event for event in events if isinstance(event, ObjectChange)]
    found = check(context, [event for event in events if isinstance(event, CheckRequest)], believed)
    with context.transaction() as tx:
        record_events(tx, [*believed, *(change for changes in found for change in changes)])


@settings(
    max_examples=max(1, EXAMPLES),
    deadline=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**63), kind=st.sampled_from(["plain", "versioned"]))
def test_the_catalogue_ends_as_what_s3_lists(engine: Engine, seed: int, kind: str) -> None:
    random = Random(seed)
    cluster = Cluster(random, f"checked-{os.getpid()}-{next(_names)}", kind)
    for _ in range(random.randint(1, 25)):
        cluster.act()
        if random.random() < 0.2:
            some = random.randrange(len(cluster.waiting) + 1)
            batch, cluster.waiting = cluster.waiting[:some], cluster.waiting[some:]
            ingest(engine, cluster, random.sample(batch, len(batch)))
    ingest(engine, cluster, random.sample(cluster.waiting, len(cluster.waiting)))
    expected: set[tuple[Any, ...]] = set().union(*(key.listing for key in cluster.keys.values()))
    assert listed_by_catalogue(engine, cluster.bucket) == expected

    assert max(told(engine, cluster.bucket).values(), default=1) == 1
    for _ in range(2):
        ingest(engine, cluster, random.sample(cluster.all, random.randint(0, len(cluster.all))))
    assert listed_by_catalogue(engine, cluster.bucket) == expected
    assert max(told(engine, cluster.bucket).values(), default=1) == 1


def told(engine: Engine, bucket: str) -> Counter[tuple[str, ...]]:
    """How often the history tells of the making of each version.

    Which version a removal without an id was, nobody can say if several were removed.
    """
    query = text("""
        SELECT key, version_id FROM file_events
        WHERE bucket = :bucket AND version_id <> '' AND change <> 'removal' """)
    with engine.connect() as connection:
        return Counter(tuple(row) for row in connection.execute(query, {"bucket": bucket}))
