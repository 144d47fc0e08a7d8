"""Answers of routes that create a job. They work on it for a few seconds, or wait as long for who may, and tell how far it is."""

from collections.abc import Sequence
from time import monotonic, sleep
from uuid import UUID

from chalicelib.api.http import membership
from chalicelib.api.http.endpoint import Reply, StepwiseCall
from chalicelib.api.schemas.file_jobs import FileInWork
from chalicelib.catalog.commands import LEFT_TO_WORK
from chalicelib.db.jobs import OPEN
from chalicelib.db.models import Job
from chalicelib.errors import Conflict
from chalicelib.services.accounts.waits import place_to_wait
from chalicelib.services.files.reading import visible_file
from chalicelib.services.jobs.kinds import run_job
from chalicelib.services.jobs.queue import get_job, ring
from chalicelib.services.jobs.undelete import outcomes_of
from chalicelib.services.removal.batches import Outcome

# How long a request works on a job that it has created. If the job copies more than `INLINE_BYTES`, it is left to the
# clock from the start: nobody knows how long S3 takes for it, and the gateway waits for 29 seconds.
_INLINE_SECONDS = 5.0
INLINE_BYTES = 1024**3
# How long it waits for a job that only another process may do: S3 takes about a second to tell of the bell, and a cold start two.
_WAITING_SECONDS = 8.0
_FIRST_LOOK_SECONDS = 0.05
_LAST_LOOK_SECONDS = 0.4


def work_on(call: StepwiseCall, job_id: UUID) -> Job:
    """Work on a job for some seconds, or have it done; returns how far it is then."""
    job = read_job(call, job_id)
    if job.kind in LEFT_TO_WORK:
        return _have_done(call, job_id)
    run_job(call.ctx, job_id, _INLINE_SECONDS)
    return read_job(call, job_id)


def read_job(call: StepwiseCall, job_id: UUID) -> Job:
    """How far a job is."""
    with call.ctx.by_itself().transaction() as tx:
        return get_job(tx, job_id)


def job_reply(call: StepwiseCall, job_id: UUID, size: int = 0, inline_bytes: int = INLINE_BYTES) -> Reply:
    """202 with the job, after some seconds of work on it unless it has more bytes than ``inline_bytes``."""
    job = work_on(call, job_id) if size <= inline_bytes else _leave(call, job_id)
    return Reply(job, 202, {"Location": f"{call.base_url}/api/jobs/{job_id}"})


def file_reply(call: StepwiseCall, file_id: UUID, job_id: UUID, size: int, status: int) -> Reply:
    """The file if its job, which copies ``size`` bytes, is done; 202 with the file and the job if it isn't.

    Raises:
        Conflict: the job has failed; says why.
    """
    job = work_on(call, job_id) if size <= INLINE_BYTES else _leave(call, job_id)
    if job.state == "failed":
        raise Conflict(job.problem or "It could not be done.")
    with call.ctx.transaction() as tx:
        # The file may still be deleted, if it is being restored.
        file = visible_file(tx, file_id)
    headers = {"Location": f"{call.base_url}/api/files/{file_id}"} if status == 201 else {}
    if job.state == "done":
        return Reply(FileInWork.of(file), status, headers)
    return Reply(FileInWork.of(file, job), 202, {"Location": f"{call.base_url}/api/jobs/{job_id}"})


def undeleted(call: StepwiseCall, begun: Sequence[Outcome]) -> list[Outcome]:
    """What has become of files that jobs bring back, after some seconds, in their order."""
    waiting: dict[UUID, list[UUID]] = {}
    for outcome in begun:
        if outcome.job_id is not None:
            waiting.setdefault(outcome.job_id, []).append(outcome.file_id)
    by_now = {outcome.file_id: outcome for outcome in begun}
    until = monotonic() + _WAITING_SECONDS
    for job_id in waiting:
        ring(call.ctx, job_id)
    for job_id, file_ids in waiting.items():
        _wait(call, job_id, until)
        by_now |= {outcome.file_id: outcome for outcome in outcomes_of(call.ctx, job_id, file_ids)}
    return [by_now[outcome.file_id] for outcome in begun]


def _leave(call: StepwiseCall, job_id: UUID) -> Job:
    """Leave a job to others, without waiting for it; returns how far it is."""
    job = read_job(call, job_id)
    if job.kind in LEFT_TO_WORK:
        ring(call.ctx, job_id)
    return job


def _have_done(call: StepwiseCall, job_id: UUID) -> Job:
    until = monotonic() + _WAITING_SECONDS  # ringing included, if S3 is slow to take it
    ring(call.ctx, job_id)
    return _wait(call, job_id, until)


def _wait(call: StepwiseCall, job_id: UUID, until: float) -> Job:
    """Look at a job until it has ended, rests after a failure, or the time is up. No connection is held in between.

    If too many requests wait already, this one looks once, and its answer says so in a header.

    Raises: see `membership.require_still_there`.
    """
    job, pause = read_job(call, job_id), _FIRST_LOOK_SECONDS
    left = until - monotonic()
    if left <= 0 or not _may_end_soon(call, job):
        return job
    with place_to_wait(call.ctx, left) as is_free:
        call.exchange.may_not_wait = not is_free
        while is_free and _may_end_soon(call, job) and (left := until - monotonic()) > 0:
            sleep(min(pause, left))
            pause = min(2 * pause, _LAST_LOOK_SECONDS)
            job = read_job(call, job_id)
    if is_free:
        membership.require_still_there(call.exchange, call.ctx.principal)
    return job


def _may_end_soon(call: StepwiseCall, job: Job) -> bool:
    rests = job.state == "queued" and job.run_after > call.ctx.now
    return job.state in OPEN and not rests
