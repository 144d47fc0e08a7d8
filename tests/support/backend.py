"""The services with a database and an object store, and no HTTP in front of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.catalog.files import File
from chalicelib.catalog.objects import EVERYTHING
from chalicelib.db.files import find_file
from chalicelib.db.models import Job
from chalicelib.db.scope import EVERYONE
from chalicelib.services.accounts.principals import DEMO_USER_ID, Principal
from chalicelib.services.accounts.users import ensure_demo_user
from chalicelib.services.context import Context
from chalicelib.services.ingest.inspection import inspect_due
from chalicelib.services.jobs.kinds import run_job
from chalicelib.services.jobs.move import begin_move
from chalicelib.services.jobs.queue import find_due_jobs
from chalicelib.services.upkeep import reaping
from chalicelib.services.upkeep.judging import judge_uploads
from chalicelib.services.upkeep.measuring import measure_unfinished
from chalicelib.services.uploads import completion, direct
from chalicelib.services.uploads.direct import PlannedUpload
from chalicelib.services.uploads.reservations import UploadRequest
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore
from dev.emulator import Emulator
from dev.ports import free_port
from tests.support.aws import make_bucket, s3_client
from tests.support.process import start_over

BUCKET = "backend"
DEMO = Principal(DEMO_USER_ID, "operator")
OPTIONS = Settings(bucket=BUCKET, upload_seconds=3600)


class Backend:
    """A bucket, a catalogue that knows nothing of others, and what services do with both."""

    def __init__(self, s3: Any, store: ObjectStore) -> None:
        self.s3, self.store = s3, store

    def context(self, *, hours: float = 0, settings: Settings = OPTIONS, principal: Principal = DEMO) -> Context:
        """What services take first, as when so many hours have gone by."""

        def clock() -> datetime:
            return runtime.now() + timedelta(hours=hours)

        return Context(runtime.transaction, lambda: self.store, settings, principal, clock)

    # --- what users do

    def begin(self, **fields: Any) -> PlannedUpload:
        """Announce an upload."""
        return direct.begin(self.context(), UploadRequest(name="a", **fields))

    def put(self, begun: PlannedUpload, body: bytes, **fields: Any) -> None:
        """Put an object where an upload was announced."""
        self.s3.put_object(Bucket=BUCKET, Key=begun.file.key, Body=body, **fields)

    def complete(self, begun: PlannedUpload) -> UUID:
        """Say that the bytes are there; says the file's id."""
        return completion.complete(self.context(), begun.file.id, None).id

    def store_file(self, body: bytes = b"hello") -> UUID:
        """Upload a file; says its id."""
        begun = self.begin(size=len(body))
        self.put(begun, body)
        return self.complete(begun)

    def arrive(self, body: bytes, **wanted: Any) -> PlannedUpload:
        """Upload a file and have it inspected."""
        begun = self.begin(**wanted)
        self.put(begun, body, ContentType=wanted.get("media_type") or "")
        self.complete(begun)
        inspect_due(self.context(), 100)
        return begun

    def begin_move(self, file_id: UUID, key: str | None = None) -> Job:
        """Begin to move a file to a key, or to a new one."""
        with self.context().transaction() as tx:
            job, _ = begin_move(tx, file_id, key or f"moved/{uuid4()}", None)
            return job

    def limit(self, **limits: Any) -> None:
        """Give every user these limits."""
        with runtime.transaction() as session:
            session.execute(text("UPDATE users SET limits = CAST(:limits AS jsonb)"), {"limits": json.dumps(limits)})

    # --- what the schedule does

    def reap(self, hours: float) -> reaping.Reaped:
        """Reap uploads as when so many hours have gone by."""
        return reaping.reap_uploads(self.context(hours=hours), 100)

    def judge(self) -> list[tuple[UUID, str]]:
        """Judge what has come; says what was refused, and why."""
        return judge_uploads(self.context(), 100)

    def measure(self) -> list[UUID]:
        """Measure unfinished uploads; says whose were aborted."""
        return [file_id for file_id, _ in measure_unfinished(self.context(), 100)]

    def run(self, job_id: UUID, minutes: float = 0) -> Any:
        """Work on a job as when so many minutes have gone by; says what it is then."""
        run_job(self.context(hours=minutes / 60), job_id, 5.0)
        with runtime.transaction() as session:
            return session.get_one(Job, job_id)

    def take_back(self) -> None:
        """Take back the uploads that have failed half way."""
        with self.context().transaction() as tx:
            due = find_due_jobs(tx, 100, ["take_back"])
        assert due
        assert {self.run(job_id).state for job_id in due} == {"done"}

    # --- what is there

    def file(self, file: PlannedUpload | UUID) -> File:
        """A file as the catalogue has it."""
        file_id = file if isinstance(file, UUID) else file.file.id
        with runtime.transaction() as session:
            found = find_file(session, EVERYONE, file_id)
        assert found is not None
        return found

    def read(self, key: str) -> bytes:
        """The bytes of the object at a key."""
        body: bytes = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def unfinished_uploads(self) -> list[Any]:
        """The uploads in parts that S3 still waits for."""
        return list(self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


def store_away() -> ObjectStore:
    """An object store that does not answer."""
    return ObjectStore.connect("us-east-1", "http://127.0.0.1:9", None, lambda: EVERYTHING)


@contextmanager
def emulated_store(home: Path) -> Iterator[tuple[Any, ObjectStore]]:
    """An emulator with the bucket of a backend: a client of it, and the store of the services."""
    emulator = Emulator(home, free_port())
    emulator.start()
    try:
        s3 = s3_client(emulator.url)
        make_bucket(s3, BUCKET, versioned=True)
        yield s3, ObjectStore.connect("us-east-1", emulator.url, None, lambda: EVERYTHING)
    finally:
        emulator.stop()


@contextmanager
def backend_on(database_url: str, s3: Any, store: ObjectStore) -> Iterator[Backend]:
    """A backend on this database, from which files and limits of an earlier one are removed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDFALL_DATABASE_URL", database_url)
        start_over()
        with runtime.transaction() as session:
            session.execute(text("DELETE FROM files"))
            session.execute(text("DELETE FROM object_versions"))
            session.execute(text("UPDATE users SET limits = '{}'"))
            ensure_demo_user(session)
        yield Backend(s3, store)
        runtime.engine().dispose()
    start_over()
