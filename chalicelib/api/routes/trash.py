"""Routes of the trash."""

from chalicelib.api.http.endpoint import Reply, StepwiseCall, stepwise_endpoint
from chalicelib.api.http.job_replies import job_reply
from chalicelib.api.schemas.jobs import JobOut
from chalicelib.api.schemas.trash import TrashQuery
from chalicelib.catalog.commands import EmptyTrash
from chalicelib.errors import Forbidden, TooManyJobs
from chalicelib.services.jobs.queue import create_job


@stepwise_endpoint(query=TrashQuery, response=JobOut, status=202, errors=(Forbidden, TooManyJobs))
def empty_trash(call: StepwiseCall[None, TrashQuery, None]) -> Reply:
    """Permanently remove the caller's deleted files.

    This creates a job. It also removes versions at earlier keys of these files. `/api/files?state=deleted` lists what
    is in the trash. Without this request, a file is removed after `LANDFALL_TRASH_DAYS`.
    """
    if call.query.everyones:
        call.ctx.principal.require_operator("empty everyone's trash")
    with call.ctx.transaction() as tx:
        job = create_job(tx, EmptyTrash(tx.now, call.query.everyones))
    return job_reply(call, job.id)
