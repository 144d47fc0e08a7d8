"""Routes of zips."""

from chalicelib.api.http.endpoint import Reply, StepwiseCall, stepwise_endpoint
from chalicelib.api.http.job_replies import job_reply
from chalicelib.api.schemas.jobs import JobOut
from chalicelib.api.schemas.zips import ZipCreate
from chalicelib.errors import NotFound, TooLarge, TooManyJobs
from chalicelib.services.jobs.zip import begin_zip

# Lower than for copies, because the bytes of a zip come through this process.
_INLINE_BYTES = 64 * 1024**2
# Each is a request to S3, one after the other, and a zip is made in one go.
_INLINE_FILES = 100


@stepwise_endpoint(body=ZipCreate, response=JobOut, status=202, errors=(NotFound, TooLarge, TooManyJobs))
def create_zip(call: StepwiseCall[None, None, ZipCreate]) -> Reply:
    """Zip up to 1,000 files, 2 GiB in all.

    This creates a job. The zip is a file (`result.file_id`) that belongs to the caller and is downloaded like any
    other. It is deleted after a day.
    """
    file_ids = list(dict.fromkeys(call.body.file_ids))
    job, size = begin_zip(call.ctx, file_ids, call.body.name)
    return job_reply(call, job.id, size, _INLINE_BYTES if len(file_ids) <= _INLINE_FILES else -1)
