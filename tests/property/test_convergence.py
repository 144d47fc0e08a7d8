"""Whatever the order, repetition and grouping of notifications, the catalogue ends as the plain model says."""

import os
from itertools import count
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from chalicelib.catalog.notifications import parse_message
from chalicelib.db.engine import create_catalog_engine, transaction
from tests.support.catalogue import assert_catalogue_equals
from tests.support.histories import random_history, replay, scramble
from tests.support.notifications import body
from tests.support.recording import deliver

# Each example is that many histories, delivered together: a round trip to the database then serves them all.
HISTORIES = int(os.environ.get("LANDFALL_HISTORIES", "2000"))
PER_EXAMPLE = 10

_names = count()


@pytest.fixture(scope="module")
def engine(database_url: str) -> Engine:
    return create_catalog_engine(database_url)


@settings(
    max_examples=max(1, HISTORIES // PER_EXAMPLE),
    deadline=None,
    print_blob=True,
    # Shrinking would rerun against a database that keeps what earlier runs stored; the printed seed is what helps.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**63))
def test_any_delivery_of_a_history_ends_in_the_tables_of_the_plain_model(engine: Engine, seed: int) -> None:
    random = Random(seed)
    buckets = [f"history-{os.getpid()}-{next(_names)}" for _ in range(PER_EXAMPLE)]
    events = [event for bucket in buckets for event in random_history(random, bucket, random.randint(1, 12))]

    for batch in scramble(random, events):
        deliver(engine, *batch)

    model = replay(notice for event in events for notice in parse_message(body(event)))
    with transaction(engine) as session:
        assert_catalogue_equals(session, buckets, model)
