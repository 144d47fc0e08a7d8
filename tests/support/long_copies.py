"""Jobs that copy in parts, one after the other, so that a test says what happens between two of them."""

from collections.abc import Callable
from threading import Semaphore
from typing import Any
from uuid import UUID

from sqlalchemy import text

from chalicelib import runtime
from chalicelib.catalog.objects import CopyUpload, Part
from chalicelib.catalog.parts import MIB
from chalicelib.db import claims
from chalicelib.db.models import Job
from chalicelib.services.jobs.copy import begin_copy
from chalicelib.services.jobs.copying import NotedCourse
from chalicelib.services.jobs.kinds import run_job
from chalicelib.services.jobs.restore import begin_restore
from chalicelib.services.uploads.completion import record_if_there
from chalicelib.services.uploads.direct import PlannedUpload
from chalicelib.store.copying_in_parts import PartCopier
from tests.support.backend import BUCKET, Backend
from tests.support.dying import die

BODY = b"".join(bytes([letter]) * 5 * MIB for letter in b"abcd")


class Parts:
    """The parts that S3 has copied, what happens in place of one, and with how many of them the process dies.

    S3 waits for the process to take notice of a part before it copies the next one.
    """

    def __init__(self) -> None:
        self.copied: list[int] = []
        self.dies_with: int | None = None
        self._ahead = Semaphore(1)
        self.instead: dict[int, Callable[[], Any]] = {}
        self._copy, self._go_on = PartCopier._copy_part, NotedCourse.go_on

    def copy(self, copier: PartCopier, upload: CopyUpload, number: int, *span: int) -> Part:
        self.instead.get(number, lambda: None)()
        # If the process doesn't go on any more, a part that was begun is copied all the same.
        self._ahead.acquire(timeout=0.1)
        part = self._copy(copier, upload, number, *span)
        self.copied.append(number)
        return part

    def go_on(self, course: NotedCourse, left: int) -> None:
        self._ahead.release()
        try:
            self._go_on(course, left)
            if self.dies_with is not None and len(self.copied) >= self.dies_with:
                die()
        except BaseException:
            self._ahead = Semaphore(1)
            raise


def move(backend: Backend) -> tuple[UUID, UUID]:
    file_id = backend.store_file(BODY)
    return backend.begin_move(file_id).id, file_id


def copy(backend: Backend) -> tuple[UUID, UUID]:
    job, command = begin_copy(backend.context(), backend.store_file(BODY), {})
    return job.id, command.file_id


def restore(backend: Backend, begun: PlannedUpload | None = None) -> tuple[UUID, UUID]:
    if begun is None:
        file_id = backend.store_file(BODY)
    else:
        backend.put(begun, BODY)
        file_id = begun.file.id
        assert record_if_there(backend.context(), file_id, begun.file.location)
    version_id = backend.file(file_id).version_id or ""
    backend.s3.put_object(Bucket=BUCKET, Key=backend.file(file_id).key, Body=b"newer")
    newer = backend.s3.head_object(Bucket=BUCKET, Key=backend.file(file_id).key)
    with backend.context().transaction() as tx:
        tx.session.execute(
            text("UPDATE files SET version_id = :version_id, etag = :etag, size = 5 WHERE id = :id"),
            {"id": file_id, "version_id": newer["VersionId"], "etag": newer["ETag"].strip('"')},
        )
        job, _ = begin_restore(tx, file_id, version_id)
    return job.id, file_id


def turn(backend: Backend, job_id: UUID, minutes: float = 0) -> Any:
    """A turn that is over with its first part; says what the job is then."""
    run_job(backend.context(hours=minutes / 60), job_id, 0)
    with runtime.transaction() as session:
        return session.get_one(Job, job_id)


def is_claimed(backend: Backend, file_id: UUID) -> bool:
    with runtime.transaction() as session:
        return claims.is_claimed(session, file_id, runtime.now())
