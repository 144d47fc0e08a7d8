"""Workers of an audit are killed, in earnest and anywhere; others go on, and each version is compared and recorded once."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from chalicelib.catalog.audits import AuditRequest
from chalicelib.catalog.objects import EVERYTHING
from chalicelib.db.engine import create_catalog_engine
from chalicelib.services.context import Context
from chalicelib.services.truth import auditing
from chalicelib.store.client import ObjectStore
from tests.support.aws import s3_client
from tests.support.contexts import context_on
from tests.support.listings import listed_by_catalogue
from tests.support.living_store import LivingStore
from tests.support.notifications import body
from tests.support.recording import deliver_messages

BUCKET = "outlived"
VERSIONS = 12_000
# A worker in a process of its own, with nothing of the test's but its database and its store.
WORKER = """
import sys
from uuid import UUID
from chalicelib.catalog.objects import EVERYTHING
from chalicelib.db.engine import create_catalog_engine
from chalicelib.services.truth import auditing
from chalicelib.store.client import ObjectStore
from tests.support.aws import s3_client
from tests.support.contexts import context_on

s3 = s3_client(sys.argv[2])
ctx = context_on(create_catalog_engine(sys.argv[1]), ObjectStore(s3, s3, lambda: EVERYTHING))
print("begun", flush=True)
auditing.work_on_audit(ctx, UUID(sys.argv[3]))
"""
_EXPIRE = """
UPDATE audit_{name} SET leased_until = clock_timestamp() - interval '1 s' WHERE leased_until IS NOT NULL
"""


@pytest.fixture
def url(new_migrated_database: Callable[[], str]) -> str:
    return new_migrated_database()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_catalog_engine(url)
    yield engine
    engine.dispose()


def kill_some(url: str, endpoint: str, audit_id: UUID, random: Random) -> None:
    """Have two workers begin, and kill each somewhere."""
    command = [sys.executable, "-c", WORKER, url, endpoint, str(audit_id)]
    root = Path(__file__).parents[3]
    workers = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) for _ in range(2)]
    for worker in workers:
        assert worker.stdout
        worker.stdout.readline()
    for worker in workers:
        time.sleep(random.random() * 0.4)
        worker.kill()
        worker.wait()


def expire_leases(engine: Engine) -> None:
    """As when a minute had gone by."""
    with engine.begin() as connection:
        for name in ("ranges", "findings"):
            connection.execute(text(_EXPIRE.format(name=name)))


def names(versions: set[tuple[Any, ...]]) -> set[tuple[str, str]]:
    return {(key, version_id) for key, version_id, *_ in versions}


def test_killed_workers_lose_nothing_and_count_nothing_twice(url: str, engine: Engine) -> None:
    store, random = LivingStore(BUCKET), Random(7)
    events = [store.put(f"{number // 3:06}", None if number % 10 == 9 else number) for number in range(VERSIONS)]
    removed = [store.remove(f"{number:06}", random) for number in range(0, 400, 2)]
    told = [event for event in events if random.random() < 0.7]
    for first in range(0, len(told), 1000):
        deliver_messages(engine, [body(*told[first : first + 1000])])
    gone = names(listed_by_catalogue(engine, BUCKET)) - names(store.listed())
    with store.served() as endpoint:
        s3 = s3_client(endpoint)
        ctx: Context = context_on(engine, ObjectStore(s3, s3, lambda: EVERYTHING))
        with ctx.transaction() as tx:
            audit_id = auditing.begin_audit(tx, AuditRequest(BUCKET, repairs=True, brake=1, grace=timedelta()))
        kills = 0
        while kills < 40:
            kill_some(url, endpoint, audit_id, random)
            kills += 2
            expire_leases(engine)
            with ctx.transaction() as tx:
                if auditing.get_audit(tx, audit_id).state == "done":
                    break
        auditing.work_on_audit(ctx, audit_id)
        with ctx.transaction() as tx:
            found = auditing.get_audit(tx, audit_id)

    assert kills > 4, "or nothing was tried"
    assert listed_by_catalogue(engine, BUCKET) == store.listed()
    assert found.state == "done"
    assert found.compared == len(store.listed()) == VERSIONS - len(removed)
    assert found.gone == len(gone) > 0
    assert found.recorded == found.missing + found.different + found.gone
