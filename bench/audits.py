"""Audits against the listing alone: of an empty catalogue, of one that is right, and of one that is wrong in places.

The store makes its listings up: see `bench.generated_store`. ``BENCH_VERSIONS`` says how many there are.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from uuid import UUID

from sqlalchemy import text

from bench.figures import Figure, seconds
from chalicelib import runtime
from chalicelib.catalog.audits import Audit, AuditRequest
from chalicelib.catalog.objects import EVERYTHING
from chalicelib.services.context import Context
from chalicelib.services.truth.auditing import begin_audit, get_audit, work_on_audit
from chalicelib.store.client import ObjectStore
from chalicelib.store.listing import rarely_collecting
from tests.support.aws import s3_client

_VERSIONS = int(os.environ.get("BENCH_VERSIONS") or 1_000_000)
_WRONG = 5  # every fifth version
_GROUP = "Audits"
_LISTING = "listing alone"
_TABLES = "object_versions, files, file_events, audits, file_search, search_queue"


def run() -> Iterator[Figure]:
    """Measure; the catalogue's tables of this process's database are emptied first."""
    with runtime.engine().begin() as connection:
        connection.execute(text(f"TRUNCATE {_TABLES} CASCADE"))
    with _generated(_VERSIONS) as url:
        ctx = _context(url)
        listing = seconds(lambda: _list(ctx))
        _, adopted = _audit(url, repairs=True)
        yield _figure("adopt: an empty catalogue", adopted, listing, "1,000,000 under 2 minutes, or ≥ 10,000/s")
        _vacuum()
        memory, compared = _audit(url, repairs=False)
        yield _figure("compare: nothing differs", compared, listing, "≥ 25,000/s")
        yield Figure(_GROUP, "peak memory of a worker", f"{memory / 1024:.0f} MB", aim="< 256 MB")
        with runtime.engine().begin() as connection:
            connection.execute(text(f"UPDATE object_versions SET etag = 'wrong' WHERE size % {_WRONG} = 0"))
        _vacuum()  # what is lost leaves no dead rows, as this has
        _, repaired = _audit(url, repairs=True)
        changes = _VERSIONS // _WRONG
        yield Figure(
            _GROUP,
            f"repair: one in {_WRONG} differs",
            f"{changes / (repaired - compared):,.0f} changes/s on top of comparing",
            _LISTING,
            f"{_VERSIONS / listing:,.0f}/s",
            listing / repaired,
            aim="≥ 10,000/s",
        )


def _vacuum() -> None:
    with runtime.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _figure(name: str, took: float, listing: float, aim: str) -> Figure:
    value, baseline = f"{_VERSIONS / took:,.0f}/s", f"{_VERSIONS / listing:,.0f}/s"
    return Figure(_GROUP, f"{name}, {_VERSIONS:,} versions", value, _LISTING, baseline, listing / took, aim)


@rarely_collecting()
def _list(ctx: Context) -> None:
    """What an audit asks of the store, and nothing done with it."""
    count = sum(len(page) for page in ctx.store.versions.pages(runtime.settings().bucket))
    assert count == _VERSIONS


def _audit(url: str, *, repairs: bool) -> tuple[int, float]:
    """Audit as ``make audit`` does, in as many processes as there are cores; a worker's peak memory in KB, and the seconds."""
    request = AuditRequest(runtime.settings().bucket, repairs=repairs, brake=1, grace=timedelta())
    began = perf_counter()
    with _context(url).transaction() as tx:
        audit_id = begin_audit(tx, request)
    command = [sys.executable, "-m", "bench.audits", url, str(audit_id)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(os.cpu_count() or 1)]
    memory = [int(worker.communicate()[0].split()[-1]) for worker in workers]
    took = perf_counter() - began
    with _context(url).transaction() as tx:
        audit: Audit = get_audit(tx, audit_id)
    assert (audit.state, audit.compared) == ("done", _VERSIONS), audit
    return max(memory), took


@contextmanager
def _generated(count: int) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.generated_store", str(count)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True) as store:
        assert store.stdout
        try:
            yield f"http://127.0.0.1:{int(store.stdout.readline())}"
        finally:
            store.kill()


def _context(url: str) -> Context:
    s3 = s3_client(url)
    store = ObjectStore(s3, s3, lambda: EVERYTHING)
    usual = runtime.context()
    return Context(usual.begin, lambda: store, usual.settings, usual.principal, usual.clock)


if __name__ == "__main__":  # a worker
    work_on_audit(_context(sys.argv[1]), UUID(sys.argv[2]))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
