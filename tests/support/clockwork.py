"""What runs by the clock, on the database and the store of a server under test."""

from contextlib import AbstractContextManager
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from chalicelib.db.engine import transaction
from chalicelib.services.context import Context
from chalicelib.services.ingest.inspection import inspect_due
from chalicelib.services.upkeep.judging import judge_uploads
from chalicelib.services.upkeep.measuring import measure_unfinished
from chalicelib.store.client import ObjectStore
from tests.support.contexts import context_on
from tests.support.recording import deliver_current


class Clockwork:
    """The schedule's work, done when a test says so."""

    def __init__(self, engine: Engine, store: ObjectStore) -> None:
        self.engine, self.store = engine, store

    def transaction(self) -> AbstractContextManager[Session]:
        return transaction(self.engine)

    def context(self) -> Context:
        return context_on(self.engine, self.store)

    def judge(self) -> list[UUID]:
        """Inspect and judge what has come; says which files were refused."""
        inspect_due(self.context(), 500)
        return [file_id for file_id, _ in judge_uploads(self.context(), 500)]

    def measure(self) -> list[str]:
        """Measure unfinished uploads; says why each that was aborted was."""
        return [reason for _, reason in measure_unfinished(self.context(), 500)]

    def deliver_current(self, key: str, bucket: str = "versioned") -> None:
        """Record the event of the object that is at a key now."""
        deliver_current(self.engine, self.store, bucket, key)
