"""Routes that have S3 copy a file's bytes: copy, move, restore. Each creates a job, which is mostly done with the answer."""

from dataclasses import replace

from chalicelib.api.http.endpoint import Reply, StepwiseCall, stepwise_endpoint
from chalicelib.api.http.job_replies import file_reply, read_job, undeleted
from chalicelib.api.schemas.file_jobs import FileCopy, FileInWork, FileMove, FileRestore
from chalicelib.api.schemas.files import FilePath
from chalicelib.errors import (
    AgainstPolicy,
    Conflict,
    Forbidden,
    NotFound,
    OverQuota,
    StoreUnavailable,
    TooManyJobs,
    Unprocessable,
)
from chalicelib.services.files.reading import visible_file
from chalicelib.services.jobs.copy import begin_copy
from chalicelib.services.jobs.move import begin_move
from chalicelib.services.jobs.restore import begin_restore
from chalicelib.services.jobs.undelete import begin_undelete


@stepwise_endpoint(
    path=FilePath,
    body=FileCopy,
    right="viewer",
    response=FileInWork,
    status=201,
    also=(202,),
    errors=(NotFound, Conflict, AgainstPolicy, OverQuota, Unprocessable, TooManyJobs),
)
def copy_file(call: StepwiseCall[FilePath, None, FileCopy]) -> Reply:
    """Copy a file within S3.

    201 with the new file, which belongs to the caller. If copying takes longer, 202 with the pending file and its
    `job`.
    """
    job, command = begin_copy(call.ctx, call.path.file_id, call.body.changes())
    return file_reply(replace(call, ctx=call.ctx.by_itself()), command.file_id, job.id, command.source.size, 201)


@stepwise_endpoint(
    path=FilePath,
    body=FileMove,
    response=FileInWork,
    also=(202,),
    errors=(NotFound, Conflict, Forbidden, Unprocessable, TooManyJobs),
)
def move_file(call: StepwiseCall[FilePath, None, FileMove]) -> Reply:
    """Give a file another key.

    The file keeps its id, its history and what its owner says about it. S3 copies its bytes. If that takes longer, 202
    with the `job`: until it is done, and if it fails, the file has its old key. To change only the name, use PATCH.
    """
    with call.ctx.transaction() as tx:
        job, file = begin_move(tx, call.path.file_id, call.body.key, call.body.name)
    return file_reply(call, file.id, job.id, file.size or 0, 200)


@stepwise_endpoint(
    path=FilePath,
    body=FileRestore,
    right="editor",
    response=FileInWork,
    also=(202,),
    errors=(NotFound, Forbidden, Conflict, AgainstPolicy, OverQuota, TooManyJobs, StoreUnavailable),
)
def restore_file(call: StepwiseCall[FilePath, None, FileRestore]) -> Reply:
    """Restore a deleted file, or an earlier version of a file.

    409 if S3 holds no version of it any more. Versions that came later stay in the history. If it takes
    longer, 202 with the `job`.
    """
    file_id, version_id = call.path.file_id, call.body.version_id
    if version_id is not None:
        with call.ctx.transaction() as tx:
            job, command = begin_restore(tx, file_id, version_id)
        return file_reply(call, file_id, job.id, command.source.size, 200)
    (outcome,) = undeleted(call, begin_undelete(call.ctx, [file_id]))
    if outcome.error is not None:
        raise outcome.error
    with call.ctx.transaction() as tx:
        file = visible_file(tx, file_id)
    if outcome.job_id is None:
        return Reply(FileInWork.of(file))
    headers = {"Location": f"{call.base_url}/api/jobs/{outcome.job_id}"}
    return Reply(FileInWork.of(file, read_job(call, outcome.job_id)), 202, headers)
