"""Writers that meet on the same keys neither deadlock nor miss each other's versions."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from random import Random

import pytest
from sqlalchemy import Engine

from chalicelib.catalog.notifications import parse_message
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.services.ingestion import record_notices
from tests.catalogue import assert_catalogue_equals
from tests.histories import Bucket, replay
from tests.notifications import NOON, body

WRITERS = 8
_names = count()


@pytest.fixture(scope="module")
def engine(database_url: str) -> Engine:
    return create_catalog_engine(database_url, pool_size=WRITERS)


@pytest.mark.parametrize("seed", range(6))
def test_eight_writers_on_the_same_keys_end_in_the_tables_of_the_model(engine: Engine, seed: int) -> None:
    random = Random(seed)
    bucket = Bucket(f"concurrent-{next(_names)}", "versioned", "aws", random)
    keys = [f"key-{number}" for number in range(12)]
    for _ in range(600):
        bucket.act(random.choice(keys))
    # Every event goes to two writers, in batches that hold the keys in any order: each batch meets all others.
    deliveries = bucket.events * 2
    random.shuffle(deliveries)
    batches = [deliveries[start : start + 15] for start in range(0, len(deliveries), 15)]

    def write(batch: list[dict]) -> None:
        notices = [notice for record in batch for notice in parse_message(body(record))]
        with transaction(engine) as session:
            record_notices(session, notices, NOON)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, batches))

    model = replay(notice for event in bucket.events for notice in parse_message(body(event)))
    with transaction(engine) as session:
        assert_catalogue_equals(session, [bucket.name], model)
