"""Writers that meet on the same keys neither deadlock nor miss each other's versions."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from random import Random
from time import monotonic
from typing import Any, cast
from uuid import uuid4

import pytest
from sqlalchemy import Engine, insert, select, text, update

from chalicelib.catalog.notifications import parse_message
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.db.inspection_queue import Finding, claim_due, save_findings
from chalicelib.db.models import File, Upload, User
from chalicelib.db.search import index_files
from chalicelib.errors import NotFound, Unprocessable
from chalicelib.ids import uuid7
from chalicelib.services import files, sessions
from chalicelib.services.claims import claim_files, release_files
from chalicelib.services.enforcement import judge_uploads
from chalicelib.services.ingestion import record_notices
from chalicelib.services.principals import Principal
from chalicelib.settings import Settings
from tests.support.catalogue import assert_catalogue_equals
from tests.support.histories import Bucket, replay
from tests.support.notifications import NOON, body, s3_record

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


def test_ten_writers_of_all_kinds_never_wait_for_each_other_in_a_circle(
    new_migrated_database: Callable[[], str],
) -> None:
    """Recording, changing, claiming, judging, indexing and deleting sessions, in whatever order each names its files."""
    engine = create_catalog_engine(new_migrated_database(), pool_size=10)
    keys = [f"key-{number}" for number in range(40)]
    owners = [Principal(uuid4(), "member") for _ in range(2)]
    options = Settings()
    with transaction(engine) as session:
        for owner in owners:
            session.add(User(id=owner.user_id, name="w", created_at=NOON, updated_at=NOON))
        session.flush()
        for number, key in enumerate(keys):
            owner = owners[number % 2]
            file = {"bucket": "landfall-test", "key": key, "name": key, "state": "pending", "owner_id": owner.user_id}
            file_id = uuid7(NOON)
            session.execute(insert(File).values(id=file_id, **file, created_at=NOON, updated_at=NOON))
            upload = {"file_id": file_id, "method": "put", "size": 1, "expires_at": NOON, "created_at": NOON}
            session.execute(insert(Upload).values(**upload))
        ids = {owner: list(session.scalars(select(File.id).where(File.owner_id == owner.user_id))) for owner in owners}
    sequencers = count(1)

    def record(random: Random) -> None:
        some = random.sample(keys, 20)
        records = [
            s3_record("ObjectCreated:Put", key, sequencer=f"{next(sequencers):08X}", size=random.randrange(9))
            for key in some
        ]
        with transaction(engine) as session:
            record_notices(session, parse_message(body(*records)), NOON)

    def change(random: Random) -> None:
        owner = random.choice(owners)
        session_id = f"s{random.randrange(3)}"
        with suppress(Unprocessable, NotFound), transaction(engine) as session:
            sessions.open_session(session, owner, session_id, None, {}, {}, NOON)
        changes = files.FileChanges(session_id=session_id, name=f"n{random.random()}")
        with suppress(Unprocessable, NotFound), transaction(engine) as session:
            files.change_file(session, owner, random.choice(ids[owner]), changes, NOON, options)

    def delete_session(random: Random) -> None:
        with suppress(NotFound), transaction(engine) as session:
            sessions.delete_session(session, random.choice(owners), f"s{random.randrange(3)}")

    def claim(random: Random) -> None:
        some = random.sample(ids[owners[0]] + ids[owners[1]], 20)
        with transaction(engine) as session:
            claimed = claim_files(session, some, NOON)
        with transaction(engine) as session:
            release_files(session, claimed)

    def judge(random: Random) -> None:
        judge_uploads(lambda: transaction(engine), cast(Any, None), options, NOON, 10)
        with transaction(engine) as session:
            session.execute(
                update(Upload).values(judged_rank=None).where(Upload.file_id == random.choice(ids[owners[0]]))
            )

    def inspect(random: Random) -> None:
        with transaction(engine) as session:
            claims = claim_due(session, NOON, 10)
        random.shuffle(claims)
        with transaction(engine) as session:
            save_findings(session, [Finding(claim, {}, "text/plain", random.randrange(9)) for claim in claims], NOON)
        with transaction(engine) as session:
            index_files(session, 10)

    deadlocks = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    until = monotonic() + 5

    def write(number: int) -> None:
        random = Random(number)
        while monotonic() < until:
            [record, record, change, change, delete_session, claim, claim, judge, inspect, record][number](random)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(write, range(10)))
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        connection.commit()
        assert connection.execute(deadlocks).scalar_one() == 0
    engine.dispose()
