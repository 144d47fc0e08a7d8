"""Answers of routes that create a job. They work on it for a few seconds, and tell how far it has come."""

from uuid import UUID

from chalicelib.api.http.endpoint import Reply, StepwiseCall
from chalicelib.api.schemas.file_jobs import FileInWork
from chalicelib.db.models import Job
from chalicelib.errors import Conflict
from chalicelib.services.files.reading import visible_file
from chalicelib.services.jobs.kinds import run_job
from chalicelib.services.jobs.queue import get_job

# How long a request works on a job that it has created. If the job copies more than `INLINE_BYTES`, it is left to the
# clock from the start: nobody knows how long S3 takes for it, and the gateway waits for 29 seconds.
_INLINE_SECONDS = 5.0
INLINE_BYTES = 1024**3


def work_on(call: StepwiseCall, job_id: UUID) -> Job:
    """Work on a job for some seconds; returns how far it is then."""
    run_job(call.ctx, job_id, _INLINE_SECONDS)
    return read_job(call, job_id)


def read_job(call: StepwiseCall, job_id: UUID) -> Job:
    """How far a job is."""
    with call.ctx.by_itself().transaction() as tx:
        return get_job(tx, job_id)


def job_reply(call: StepwiseCall, job_id: UUID, size: int = 0, inline_bytes: int = INLINE_BYTES) -> Reply:
    """202 with the job, after some seconds of work on it unless it has more bytes than ``inline_bytes``."""
    job = work_on(call, job_id) if size <= inline_bytes else read_job(call, job_id)
    return Reply(job, 202, {"Location": f"{call.base_url}/api/jobs/{job_id}"})


def file_reply(call: StepwiseCall, file_id: UUID, job_id: UUID, size: int, status: int) -> Reply:
    """The file if its job, which copies ``size`` bytes, is done; 202 with the file and the job if it isn't.

    Raises:
        Conflict: the job has failed; says why.
    """
    job = work_on(call, job_id) if size <= INLINE_BYTES else read_job(call, job_id)
    if job.state == "failed":
        raise Conflict(job.problem or "It could not be done.")
    with call.ctx.transaction() as tx:
        # The file may still be deleted, if a version of it is being restored.
        file = visible_file(tx, file_id)
    headers = {"Location": f"{call.base_url}/api/files/{file_id}"} if status == 201 else {}
    if job.state == "done":
        return Reply(FileInWork.of(file), status, headers)
    return Reply(FileInWork.of(file, job), 202, {"Location": f"{call.base_url}/api/jobs/{job_id}"})
