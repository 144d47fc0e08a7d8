"""Who does what requests leave to it, as `app.run_jobs` does in the cloud: a thread with a database and a store of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from chalicelib import runtime
from chalicelib.catalog.commands import LEFT_TO_WORK
from chalicelib.catalog.objects import EVERYTHING
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.services.accounts.principals import LANDFALL
from chalicelib.services.context import Context
from chalicelib.services.jobs.kinds import run_job
from chalicelib.services.jobs.queue import find_due_jobs
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore
from dev.jobs import JobLoop
from tests.support.backend import store_away


class Worker:
    """Looks for jobs and does them."""

    def __init__(self, database_url: str, s3_url: str) -> None:
        self._engine = create_catalog_engine(database_url, 6)
        self._store = ObjectStore.connect("us-east-1", s3_url, None, lambda: EVERYTHING)
        self._ctx = Context(lambda: transaction(self._engine), lambda: self._store, Settings(), LANDFALL, runtime.now)
        self._is_away = False
        self._loop = JobLoop(lambda job_id: run_job(self._ctx, job_id, 60.0), self._find, pause_seconds=0.03)

    def _find(self, limit: int) -> Sequence[UUID]:
        if self._is_away:
            return []
        with self._ctx.transaction() as tx:
            return find_due_jobs(tx, limit, LEFT_TO_WORK)

    @contextmanager
    def without_s3(self) -> Iterator[None]:
        """No S3 answers it meanwhile."""
        self._store, kept = store_away(), self._store
        try:
            yield
        finally:
            self._store = kept

    @contextmanager
    def away(self) -> Iterator[None]:
        """It begins no job meanwhile."""
        self._is_away = True
        try:
            yield
        finally:
            self._is_away = False

    @contextmanager
    def working(self) -> Iterator["Worker"]:
        """Work as long as the block lasts."""
        self._loop.start()
        try:
            yield self
        finally:
            self._loop.stop()
            self._engine.dispose()


@contextmanager
def worker(database_url: str, s3_url: str) -> Iterator[Worker]:
    """Have the jobs done that requests leave to others, on this database and this S3."""
    with Worker(database_url, s3_url).working() as working:
        yield working
