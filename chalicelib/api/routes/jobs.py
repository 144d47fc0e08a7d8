"""Routes of jobs."""

from chalicelib.api.http.endpoint import Call, Reply, StepwiseCall, endpoint, stepwise_endpoint
from chalicelib.api.http.job_replies import work_on
from chalicelib.api.http.pages import page_reply
from chalicelib.api.schemas.common import Page, PageQuery
from chalicelib.api.schemas.jobs import JobOut, JobPath
from chalicelib.db.models import Job
from chalicelib.errors import Conflict, InvalidCursor, NotFound
from chalicelib.services.jobs import queue


@endpoint(query=PageQuery, response=Page[JobOut], errors=(InvalidCursor,))
def list_jobs(call: Call[None, PageQuery, None]) -> Reply:
    """List jobs.

    The newest come first. Members see their own jobs, operators see everyone's.
    """
    return page_reply(call, queue.list_jobs(call.tx, call.query.limit, call.query.cursor))


@endpoint(path=JobPath, response=JobOut, errors=(NotFound,))
def get_job(call: Call[JobPath, None, None]) -> Job:
    """Read how far a job is."""
    return queue.get_job(call.tx, call.path.job_id)


@stepwise_endpoint(path=JobPath, response=JobOut, errors=(NotFound, Conflict))
def cancel_job(call: StepwiseCall[JobPath, None, None]) -> Job:
    """Stop a job before its next step.

    What the job has done stays done. 409 if it has ended already.
    """
    with call.ctx.transaction() as tx:
        queue.cancel_job(tx, call.path.job_id)
    return work_on(call, call.path.job_id)
