"""Lost, doubled and reordered events while writers and audits go on; then one repair, and the catalogue is the bucket."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from time import monotonic, sleep
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from chalicelib.catalog.audits import Audit, AuditRequest
from chalicelib.catalog.objects import EVERYTHING
from chalicelib.db.engine import create_catalog_engine
from chalicelib.db.refusals import is_contention
from chalicelib.services.context import Context
from chalicelib.services.truth import auditing
from chalicelib.store.client import ObjectStore
from tests.support.aws import s3_client
from tests.support.contexts import context_on
from tests.support.listings import listed_by_catalogue
from tests.support.living_store import LivingStore
from tests.support.notifications import body
from tests.support.recording import deliver_messages

# More of them take minutes.
EVENTS = int(os.environ.get("LANDFALL_PROOF_EVENTS") or 20_000)
BUCKET = "proven"
_LOST = _DOUBLED = 0.05


@pytest.fixture
def engine(new_migrated_database: Callable[[], str]) -> Iterator[Engine]:
    engine = create_catalog_engine(new_migrated_database(), 16, statement_timeout_ms=10_000)
    yield engine
    engine.dispose()


@pytest.fixture
def store() -> LivingStore:
    return LivingStore(BUCKET)


@pytest.fixture
def ctx(engine: Engine, store: LivingStore) -> Iterator[Context]:
    with store.served() as url:
        s3 = s3_client(url)
        yield context_on(engine, ObjectStore(s3, s3, lambda: EVERYTHING))


def told(events: Iterable[dict[str, Any]], random: Random) -> list[dict[str, Any]]:
    """What of these events is told: some never, some twice, all in any order."""
    some = [event for event in events if random.random() >= _LOST]
    some += [event for event in some if random.random() < _DOUBLED]
    random.shuffle(some)
    return some


def record(engine: Engine, events: list[dict[str, Any]]) -> None:
    """As the queue does: what finds its keys held for too long comes again."""
    for first in range(0, len(events), 1000):
        while True:
            try:
                deliver_messages(engine, [body(*events[first : first + 1000])])
                break
            except DBAPIError as error:
                if not is_contention(error):
                    raise


def repair(ctx: Context, workers: int) -> Audit:
    with ctx.transaction() as tx:
        audit_id = auditing.begin_audit(tx, AuditRequest(BUCKET, repairs=True, brake=1, grace=timedelta()))
    with ThreadPoolExecutor(workers) as pool:
        assert all(pool.map(lambda _: auditing.work_on_audit(ctx, audit_id), range(workers)))
    with ctx.transaction() as tx:
        return auditing.get_audit(tx, audit_id)


def assert_right(engine: Engine, store: LivingStore) -> None:
    """Every version, and every file, is as the bucket has it."""
    listed = store.listed()
    known = listed_by_catalogue(engine, BUCKET)
    assert (sorted(listed - known)[:5], sorted(known - listed)[:5]) == ([], [])
    with engine.connect() as connection:
        files = connection.execute(
            text("SELECT key, state, version_id, size, etag FROM files WHERE bucket = :b"), {"b": BUCKET}
        )
        current = {row.key: tuple(row)[1:] for row in files if row.state == "stored"}
    latest = {
        key: ("stored", *version) for key, *version, is_latest, is_marker in listed if is_latest and not is_marker
    }
    assert current == latest


def test_after_one_repair_the_catalogue_is_the_bucket_whatever_became_of_events(
    ctx: Context, engine: Engine, store: LivingStore, record_property: Callable[[str, Any], None]
) -> None:
    random, keys = Random(1), EVENTS // 5
    events = told(filter(None, (store.act(random, keys) for _ in range(EVENTS))), random)
    may_write, late = threading.Event(), list[dict[str, Any]]()
    may_write.set()

    def write(seed: int) -> None:
        """As a client does, whose events come at once, late or never."""
        mine = Random(seed)
        while may_write.is_set():
            made = list(filter(None, (store.act(mine, keys) for _ in range(20))))
            part = told(made, mine)
            record(engine, part[: len(part) // 2])
            late.extend(part[len(part) // 2 :])
            sleep(0.3)

    began = monotonic()
    with ThreadPoolExecutor(14) as pool:
        writers = [pool.submit(write, seed) for seed in range(8)]
        recorders = [pool.submit(record, engine, events[number::4]) for number in range(4)]
        audits = [pool.submit(repair, ctx, 2) for _ in range(2)]
        try:
            for task in (*recorders, *audits):
                task.result()
        finally:
            may_write.clear()  # or the writers, and this test, would go on for ever
        for writer in writers:
            writer.result()
    record(engine, late)
    recorded = monotonic()

    found = repair(ctx, 2)
    record_property("figures", (EVENTS, recorded - began, monotonic() - recorded))
    print(f"{EVENTS} events in {recorded - began:.0f} s, repaired in {monotonic() - recorded:.0f} s: {found}")
    assert found.state == "done"
    assert_right(engine, store)
    assert repair(ctx, 1).drift == 0
