"""Writers that meet on the same keys neither deadlock nor miss each other's versions."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from itertools import count
from random import Random
from time import monotonic
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, insert, text, update
from sqlalchemy.orm import Session

from chalicelib.catalog.notifications import parse_message
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.db.inspection_queue import Finding, claim_due, save_findings
from chalicelib.db.models import File, Upload, User
from chalicelib.db.search import index_files
from chalicelib.errors import NotFound, Unprocessable
from chalicelib.ids import uuid7
from chalicelib.services.accounts.principals import LANDFALL, Principal
from chalicelib.services.accounts.sessions import NewSession, delete_session, open_session
from chalicelib.services.context import Transaction
from chalicelib.services.files.claims import claim_files, release_files
from chalicelib.services.files.editing import FileChanges, change_file
from chalicelib.services.upkeep.judging import judge_uploads
from tests.support.catalogue import assert_catalogue_equals
from tests.support.contexts import context_on, transaction_on
from tests.support.histories import Bucket, replay
from tests.support.notifications import NOON, body, s3_record
from tests.support.recording import deliver

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

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda batch: deliver(engine, *batch), batches))

    model = replay(change for event in bucket.events for change in parse_message(body(event)))
    with transaction(engine) as session:
        assert_catalogue_equals(session, [bucket.name], model)


class Busy:
    """Forty files of two owners, and what clients and the schedule do to them: each names its files in any order."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self._sequencers = engine, count(1)
        self._keys = [f"key-{number}" for number in range(40)]
        self._owners = [Principal(uuid4(), "member") for _ in range(2)]
        with transaction(engine) as session:
            for owner in self._owners:
                session.add(User(id=owner.user_id, name="w", created_at=NOON, updated_at=NOON))
            session.flush()
            self._ids = {
                owner: [_add_pending(session, owner, key) for key in self._keys[number::2]]
                for number, owner in enumerate(self._owners)
            }

    def record(self, random: Random) -> None:
        records = [
            s3_record("ObjectCreated:Put", key, sequencer=f"{next(self._sequencers):08X}", size=random.randrange(9))
            for key in random.sample(self._keys, 20)
        ]
        deliver(self.engine, *records)

    def change(self, random: Random) -> None:
        owner = random.choice(self._owners)
        session_id = f"s{random.randrange(3)}"
        with suppress(Unprocessable, NotFound), self._transaction(owner) as tx:
            open_session(tx, NewSession(session_id))
        changes = FileChanges(session_id=session_id, name=f"n{random.random()}")
        with suppress(Unprocessable, NotFound), self._transaction(owner) as tx:
            change_file(tx, random.choice(self._ids[owner]), changes)

    def delete_session(self, random: Random) -> None:
        with suppress(NotFound), self._transaction(random.choice(self._owners)) as tx:
            delete_session(tx, f"s{random.randrange(3)}")

    def claim(self, random: Random) -> None:
        some = random.sample([file_id for ids in self._ids.values() for file_id in ids], 20)
        with self._transaction() as tx:
            claimed = claim_files(tx, some)
        with self._transaction() as tx:
            release_files(tx, claimed)

    def judge(self, random: Random) -> None:
        judge_uploads(context_on(self.engine, clock=lambda: NOON), 10)
        again = Upload.file_id == random.choice(self._ids[self._owners[0]])
        with transaction(self.engine) as session:
            session.execute(update(Upload).values(judged_rank=None).where(again))

    def inspect(self, random: Random) -> None:
        with transaction(self.engine) as session:
            claims = claim_due(session, NOON, 10)
        random.shuffle(claims)
        with transaction(self.engine) as session:
            save_findings(session, [Finding(claim, {}, "text/plain", random.randrange(9)) for claim in claims], NOON)
        with transaction(self.engine) as session:
            index_files(session, 10)

    def _transaction(self, principal: Principal = LANDFALL) -> AbstractContextManager[Transaction]:
        return transaction_on(self.engine, principal, NOON)

    def deadlocks(self) -> int:
        """How many Postgres has ended in this database."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT pg_stat_force_next_flush()"))
            connection.commit()
            query = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            return int(connection.execute(query).scalar_one())


def _add_pending(session: Session, owner: Principal, key: str) -> UUID:
    """A file whose upload was announced; says its id."""
    file_id = uuid7(NOON)
    file = {"bucket": "landfall-test", "key": key, "name": key, "state": "pending", "owner_id": owner.user_id}
    session.execute(insert(File).values(id=file_id, **file, created_at=NOON, updated_at=NOON))
    upload = {"file_id": file_id, "method": "put", "size": 1, "expires_at": NOON, "created_at": NOON}
    session.execute(insert(Upload).values(**upload))
    return file_id


def test_ten_writers_of_all_kinds_do_not_deadlock(new_migrated_database: Callable[[], str]) -> None:
    engine = create_catalog_engine(new_migrated_database(), pool_size=10)
    busy = Busy(engine)
    kinds = (
        [busy.record] * 3 + [busy.change] * 2 + [busy.delete_session] + [busy.claim] * 2 + [busy.judge, busy.inspect]
    )
    until = monotonic() + 5

    def write(number: int) -> None:
        random = Random(number)
        while monotonic() < until:
            kinds[number](random)

    with ThreadPoolExecutor(len(kinds)) as pool:
        list(pool.map(write, range(len(kinds))))

    assert busy.deadlocks() == 0
    engine.dispose()
