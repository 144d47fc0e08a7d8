"""A user with files in a bucket, other clients at the same keys, events when the test says, and what must be true in the end."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from chalicelib import runtime
from chalicelib.catalog.commands import EmptyTrash
from chalicelib.catalog.objects import StoredObject
from chalicelib.db.files import find_files
from chalicelib.db.scope import EVERYONE
from chalicelib.errors import Conflict, StoreUnavailable
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.context import Context
from chalicelib.services.jobs.copy import begin_copy
from chalicelib.services.jobs.kinds import run_job
from chalicelib.services.jobs.move import begin_move
from chalicelib.services.jobs.queue import cancel_job, create_job, find_due_jobs
from chalicelib.services.jobs.restore import begin_restore
from chalicelib.services.jobs.undelete import begin_undelete
from chalicelib.services.jobs.zip import begin_zip
from chalicelib.services.removal.bulk import delete_files
from chalicelib.services.removal.deletion import delete_file
from chalicelib.services.uploads.reservations import Description
from chalicelib.services.uploads.through_api import IncomingFile, upload_files
from chalicelib.triggers import ingest, schedules
from tests.support.aws import take_messages
from tests.support.contexts import transaction_on
from tests.support.forks import Outcome, in_fork
from tests.support.notifications import sqs_event


class LambdaContext:
    aws_request_id = "crash"

    def get_remaining_time_in_millis(self) -> int:
        return 600_000


class World:
    """One user's files in one bucket. What touches the catalogue runs in forks, as Lambda's processes would."""

    def __init__(self, s3: Any, sqs: Any, queue_url: str, engine: Engine, bucket: str) -> None:
        self.s3, self.sqs, self.queue_url, self.engine, self.bucket = s3, sqs, queue_url, engine, bucket
        self.user = Principal(uuid4(), "member")
        self._add_user()
        file_ids = [UUID(told) for told in self.done(lambda: [self._upload(f"{number}.txt") for number in range(3)])]
        with transaction_on(engine) as tx:
            self.files = list(find_files(tx.session, EVERYONE, file_ids).values())
        self.file = self.files[0]
        self.new_key = f"{self.user.user_id}/moved/to.txt"
        self.others: dict[str, str] = {}  # ETag of what others put, by key

    # --- what the user does, each in a fork

    def move(self) -> None:
        self.work_on(self.begin_move())

    def begin_move(self) -> UUID:
        with self.context().transaction() as tx:
            job, _ = begin_move(tx, self.file.id, self.new_key, None)
        return job.id

    def copy(self) -> None:
        job, _ = begin_copy(self.context(), self.file.id, {})
        self.work_on(job.id)

    def restore(self) -> None:
        """The first version, over a later one."""
        with self.context().transaction() as tx:
            job, _ = begin_restore(tx, self.file.id, self.file.version_id or "null")
        self.work_on(job.id)

    def delete(self) -> None:
        delete_file(self.context(), self.file.id)

    def delete_two(self) -> None:
        """As `undelete` expects it, with the events of it recorded."""
        self.done(lambda: [outcome.error for outcome in delete_files(self.context(), [f.id for f in self.files[:2]])])
        self.deliver()

    def zip(self) -> None:
        self.work_on(self.begin_zip())

    def begin_zip(self) -> UUID:
        job, _ = begin_zip(self.context(), [file.id for file in self.files], "a.zip")
        return job.id

    def cancel(self, job_id: UUID) -> None:
        with suppress(Conflict), self.context().transaction() as tx:  # it has ended by now
            cancel_job(tx, job_id)

    def undelete(self) -> None:
        """Two files at once, which were deleted before."""
        begun = begin_undelete(self.context(), [file.id for file in self.files[:2]])
        if begun[0].job_id is not None:
            self.work_on(begun[0].job_id)

    def upload_half(self) -> None:
        """Two files at once, of which S3 takes one only."""
        put, bodies = runtime.store().put, [b"taken", b"not taken"]

        def take_one(bucket: str, key: str, body: bytes, media_type: str) -> StoredObject:
            if body != bodies[0]:
                raise StoreUnavailable("No.")
            return put(bucket, key, body, media_type)

        with pytest.MonkeyPatch.context() as patch, suppress(StoreUnavailable):
            patch.setattr(runtime.store(), "put", take_one)
            incoming = [IncomingFile("half.txt", "text/plain", body) for body in bodies]
            upload_files(self.context(), incoming, Description())
        with self.context().transaction() as tx:
            due = find_due_jobs(tx, 100, ["take_back"])
        for job_id in due:
            self.work_on(job_id)

    def empty_trash(self) -> None:
        self.work_on(self.begin_to_empty_trash())

    def begin_to_empty_trash(self) -> UUID:
        with self.context().transaction() as tx:
            return create_job(tx, EmptyTrash(tx.now, everyones=False)).id

    # --- what others do

    def put(self, key: str) -> None:
        body = f"another client's {uuid4()}".encode()
        self.others[key] = self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)["ETag"].strip('"')

    def deliver(self) -> None:
        """Have every event recorded that waits."""
        self.hand_over(self.take_events())

    def hand_over(self, bodies: list[str]) -> None:
        if bodies:
            self.done(lambda: ingest.handle(sqs_event(*bodies), LambdaContext()))

    def take_events(self) -> list[str]:
        """Every event that waits; nobody else gets it."""
        bodies: list[str] = []
        for _ in range(2):  # the emulator sends an event a moment after its answer
            bodies += take_messages(self.sqs, self.queue_url)
        return bodies

    def run_clock(self, *minutes: float) -> None:
        """What the schedule does at so many minutes from now."""
        for minute in minutes:
            self.done(lambda: schedules.work({}, LambdaContext()), later=timedelta(minutes=minute))

    # --- what must be true once everything has come to rest

    def wrong(self, undisturbed: bool = False) -> list[str]:
        """What isn't as it should be, a sentence each. ``undisturbed``: nobody stood in the way of what the user did."""
        return [*self._differences(), *self._left_over(), *self._lost(), *(self._failed() if undisturbed else ())]

    def in_bucket(self) -> dict[str, str]:
        """ETag of each current object of the user's keys."""
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=str(self.user.user_id)).get("Contents", [])
        return {item["Key"]: item["ETag"].strip('"') for item in listed}

    def _differences(self) -> list[str]:
        stored = {row.key: row.etag for row in self.rows() if row.state == "stored"}
        there = self.in_bucket()
        return [
            f"{self._called(key)}: the catalogue has {stored.get(key)}, the bucket {there.get(key)}"
            for key in stored.keys() | there.keys()
            if stored.get(key) != there.get(key)
        ]

    def _left_over(self) -> list[str]:
        found = []
        with self.engine.connect() as connection:
            open_jobs = text("SELECT kind, state FROM jobs WHERE owner_id = :user AND state IN ('queued', 'running')")
            found += [f"a job is left: {job}" for job in connection.execute(open_jobs, {"user": self.user.user_id})]
            truth = text(
                "SELECT count(*), coalesce(sum(CASE state WHEN 'stored' THEN coalesce(size, 0) ELSE reserved END), 0)"
                " FROM files WHERE owner_id = :user AND state <> 'deleted'"
            )
            usage = text("SELECT files, bytes FROM usage_now WHERE owner_id = :user AND session_id = ''")
            real = tuple(connection.execute(truth, {"user": self.user.user_id}).one())
            counted = tuple(connection.execute(usage, {"user": self.user.user_id}).one_or_none() or (0, 0))
            if real != counted:
                found.append(f"usage says {counted}, and there are {real}")
        for row in self.rows():
            if row.state == "pending":
                found.append(f"{self._called(row.key)} still waits")
            if row.state == "stored" and row.owner_id is None and row.key not in self.others:
                found.append(f"{self._called(row.key)} is stored, and nobody's")
        return found

    def _failed(self) -> list[str]:
        with self.engine.connect() as connection:
            jobs = text("SELECT kind, state, problem FROM jobs WHERE owner_id = :user AND state <> 'done'")
            return [f"a job has failed: {job}" for job in connection.execute(jobs, {"user": self.user.user_id})]

    def _lost(self) -> list[str]:
        there, found = self.in_bucket(), []
        for key, etag in self.others.items():
            # What others put where the file was at that moment is a change of the file, and moves with it.
            moved = key == self.file.key and there.get(self.new_key) == etag
            if there.get(key) != etag and not moved:
                found.append(f"what another client put at {self._called(key)} is not there")
        mine = [row for row in self.rows() if row.id == self.file.id]
        if not mine:
            found.append("the file's row is gone")
        elif mine[0].owner_id != self.user.user_id:
            found.append("the file is nobody's")
        return found

    def rows(self) -> list[Any]:
        """The catalogue's rows of the user's keys."""
        query = text(
            "SELECT id, key, state, etag, owner_id, moved_to FROM files WHERE bucket = :bucket AND starts_with(key, :user)"
        )
        with self.engine.connect() as connection:
            return list(connection.execute(query, {"bucket": self.bucket, "user": str(self.user.user_id)}))

    def _called(self, key: str) -> str:
        return {self.new_key: "the new key", self.file.key: "the old key"}.get(key, key)

    def _add_user(self) -> None:
        statement = text(
            "INSERT INTO users (id, name, role, created_at, updated_at) VALUES (:id, 'crash', 'member', now(), now())"
        )
        with self.engine.begin() as connection:
            connection.execute(statement, {"id": self.user.user_id})

    def _upload(self, name: str) -> UUID:
        incoming = [IncomingFile(name, "text/plain", name.encode())]
        return upload_files(self.context(), incoming, Description())[0].id

    def context(self) -> Context:
        """In a fork: what services take first."""
        return runtime.context(self.user)

    def work_on(self, job_id: UUID) -> None:
        run_job(self.context(), job_id, 5.0)

    def done(self, do: Callable[[], Any], later: timedelta = timedelta()) -> Any:
        """What ``do`` returns in a fork, which must come to its end."""
        outcome: Outcome = in_fork(do, later=later)
        assert not outcome.died
        assert not outcome.error, outcome.error
        return outcome.value


@dataclass(frozen=True)
class Ground:
    """What worlds are made on. Its clients are those of this process; forks have their own."""

    s3: Any
    sqs: Any
    queue_url: str
    engine: Engine

    def world(self, versioned: bool, monkeypatch: pytest.MonkeyPatch) -> World:
        bucket = "crash-versioned" if versioned else "crash-plain"
        monkeypatch.setenv("LANDFALL_BUCKET", bucket)
        runtime.settings.cache_clear()  # and no more: the forks use the store of this process
        return World(self.s3, self.sqs, self.queue_url, self.engine, bucket)

    def warm_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have this process do everything once, so that no fork has to import and compile it for itself.

        What it used is thrown away: forks can't share connections.
        """
        world = self.world(True, monkeypatch)
        for operation in (
            world.move,
            world.copy,
            world.restore,
            world.zip,
            world.delete,
            world.undelete,
            world.upload_half,
            world.delete,
            world.empty_trash,
        ):
            ingest.handle(sqs_event(*world.take_events()), LambdaContext())
            operation()
        schedules.work({}, LambdaContext())
        runtime.engine().dispose()
        runtime.store.cache_clear()
        runtime.store()
