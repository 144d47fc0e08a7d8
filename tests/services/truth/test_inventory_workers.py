"""Who dies while an inventory is loaded or compared: workers, or the database's server. Others go on, and nothing is wrong."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from chalicelib.services.context import Context
from chalicelib.services.truth import auditing, inventories, loading
from chalicelib.services.truth.allowances import Allowance
from dev.configuration import PROJECT
from tests.support.inventories import InventoryMaker, begin, run, work_on
from tests.support.listings import listed_by_catalogue, listed_by_s3

# Works until the statement of its kind that a test names, in whose transaction it stops, and waits for its death.
_WORKER = """
import sys, time
from uuid import UUID
from chalicelib import runtime
from chalicelib.db import audit_ranges, inventory_files as statements
from chalicelib.services.truth import auditing, inventories, loading
audit_id, kind, number = UUID(sys.argv[1]), sys.argv[2], int(sys.argv[3])
loading._VERSIONS_AT_ONCE = inventories._VERSIONS_AT_ONCE = 7
module = {"load": statements, "advance_range": audit_ranges}[kind]
act, done = getattr(module, kind), 0
def stop(*args, **options):
    global done
    act(*args, **options)
    if (done := done + 1) == number:
        print("here", flush=True)
        time.sleep(60)
setattr(module, kind, stop)
auditing.work_on_audit(runtime.context(), audit_id)
"""


class Steps(Allowance):
    """Allows so many steps."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._steps = iter(range(number))

    @property
    def is_left(self) -> bool:
        return next(self._steps, None) is not None


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_VERSIONS_AT_ONCE", 7)
    monkeypatch.setattr(inventories, "_VERSIONS_AT_ONCE", 7)
    monkeypatch.setattr(auditing, "_IDLE", 0.01)


def stock(s3: Any, bucket: str, number: int = 40) -> InventoryMaker:
    for name in range(number):
        s3.put_object(Bucket=bucket, Key=f"k{name:02}", Body=b"1")
    return InventoryMaker(s3, bucket)


def kill_a_worker(engine: Engine, s3: Any, audit_id: UUID, kind: str, number: int, log: Path) -> None:
    environment = os.environ | {
        "LANDFALL_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "AWS_ENDPOINT_URL": s3.meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    command = [sys.executable, "-c", _WORKER, str(audit_id), kind, str(number)]
    with log.open("w") as errors:
        worker = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == "here\n", log.read_text()
        worker.send_signal(signal.SIGKILL)
        worker.communicate()


def end_leases(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in ("audit_inventory_files", "audit_ranges", "audit_findings"):
            connection.execute(text(f"UPDATE {table} SET leased_until = clock_timestamp() - interval '1 s'"))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    ("kind", "number", "loaded"),
    [("load", 1, 0), ("load", 2, 7), ("load", 5, 27), ("advance_range", 1, 40), ("advance_range", 4, 40)],
)
def test_another_worker_goes_on_where_one_was_killed(
    ctx: Context, engine: Engine, s3: Any, plain_bucket: str, kind: str, number: int, loaded: int, tmp_path: Path
) -> None:
    maker = stock(s3, plain_bucket)
    if kind == "advance_range":  # a range moves on where the catalogue knows what is listed
        run(ctx, plain_bucket, maker.put())
    audit_id = begin(ctx, plain_bucket, maker.put(parts=2))
    kill_a_worker(engine, s3, audit_id, kind, number, tmp_path / "worker.log")
    with engine.connect() as connection:
        statement = text("SELECT loaded FROM audit_inventory_files ORDER BY inventory_id DESC, number LIMIT 2")
        assert sum(connection.scalars(statement)) == loaded
    end_leases(engine)

    found = work_on(ctx, audit_id)
    missing = 0 if kind == "advance_range" else 40
    assert (found.state, found.compared, found.missing, found.recorded) == ("done", 40, missing, missing)
    assert listed_by_catalogue(engine, plain_bucket) == listed_by_s3(s3, plain_bucket)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("steps", [2, 5, 8, 11])
def test_after_a_crash_of_the_database_all_is_loaded_again(
    ctx: Context, engine: Engine, s3: Any, plain_bucket: str, steps: int
) -> None:
    """A crash empties tables that aren't logged. Nothing may be taken to be gone because of that."""
    maker = stock(s3, plain_bucket)
    run(ctx, plain_bucket, maker.put())
    audit_id = begin(ctx, plain_bucket, maker.put(parts=2), brake=0)
    assert not auditing.work_on_audit(ctx, audit_id, Steps(steps))
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE inventory_versions"))

    found = work_on(ctx, audit_id)
    assert (found.state, found.compared, found.drift, found.recorded) == ("done", 40, 0, 0)


@pytest.mark.usefixtures("small_parts")
def test_several_workers_share_an_inventory(
    ctx: Context, engine: Engine, s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_VERSIONS_OF_RANGE", 8)
    maker = stock(s3, bucket, 60)
    run(ctx, bucket, maker.put())
    with engine.begin() as connection:
        connection.execute(text("UPDATE object_versions SET etag = 'w', stored_at = 'epoch' WHERE key LIKE 'k%5'"))
    audit_id = begin(ctx, bucket, maker.put(parts=6))
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: auditing.work_on_audit(ctx, audit_id), range(4)))

    found = work_on(ctx, audit_id)
    assert (found.state, found.compared, found.different, found.recorded) == ("done", len(maker.rows), 6, 6)
    assert listed_by_catalogue(engine, bucket) == listed_by_s3(s3, bucket)
    with engine.connect() as connection:
        ranges = connection.scalar(text("SELECT count(*) FROM audit_ranges WHERE audit_id = :id"), {"id": audit_id})
        assert ranges is not None
        assert ranges > 4


def test_a_file_that_takes_long_to_read_stays_with_its_worker(
    ctx: Context, s3: Any, plain_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing.inventory_files, "_LEASE_SECONDS", 1)
    monkeypatch.setattr(loading, "_RENEWED_AFTER", 0.1)
    audit_id = begin(ctx, plain_bucket, stock(s3, plain_bucket, 5).put(parts=1))
    is_reading, may_read, readings = threading.Event(), threading.Event(), list[str]()
    lines = loading.listed_in_csv

    def slowly(*arguments: Any, **options: Any) -> Any:
        readings.append("read")
        is_reading.set()
        assert may_read.wait(30)
        return lines(*arguments, **options)

    monkeypatch.setattr(loading, "listed_in_csv", slowly)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(auditing.work_on_audit, ctx, audit_id)
        assert is_reading.wait(30)
        # For two leases, another worker finds nothing to do.
        assert not auditing.work_on_audit(ctx, audit_id, Allowance(seconds=2))
        may_read.set()
        assert first.result()
    assert len(readings) == 1
    assert work_on(ctx, audit_id).recorded == 5


@pytest.mark.parametrize("may_truncate", [True, False])
@pytest.mark.parametrize("is_another_open", [True, False])
def test_what_was_loaded_is_removed_when_its_audit_has_ended(
    ctx: Context,
    engine: Engine,
    s3: Any,
    plain_bucket: str,
    may_truncate: bool,
    is_another_open: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not may_truncate:
        monkeypatch.setattr("chalicelib.db.inventories._MAY_TRUNCATE", text("SELECT false"))
    monkeypatch.setattr("chalicelib.db.inventories._DELETED_AT_ONCE", 7)
    maker = stock(s3, plain_bucket, 20)
    if is_another_open:
        other = begin(ctx, plain_bucket, maker.put())
        auditing.work_on_audit(ctx, other, Steps(2))
    audit_id = begin(ctx, plain_bucket, maker.put())
    auditing.work_on_audit(ctx, audit_id, Steps(2))
    with ctx.transaction() as tx:
        auditing.cancel_audit(tx, audit_id)

    def count() -> int | None:
        with engine.connect() as connection:
            return connection.scalar(text("SELECT count(*) FROM inventory_versions WHERE key <> ''"))

    before = count()
    assert before
    loading.remove_loaded(ctx, Allowance())
    after = count()
    assert after is not None
    assert 0 < after < before if is_another_open else after == 0
    if is_another_open:
        assert work_on(ctx, other).recorded == 20
        assert count() == 0


def test_the_clock_leaves_parquet_to_workers_that_can_read_it(ctx: Context, s3: Any, plain_bucket: str) -> None:
    maker = stock(s3, plain_bucket, 5)
    maker.form = "Parquet"
    audit_id = begin(ctx, plain_bucket, maker.put())
    assert auditing.work_on_audits(ctx, 60, 1000) == 0
    assert work_on(ctx, audit_id).recorded == 5
