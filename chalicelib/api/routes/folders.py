"""Routes of folders."""

from chalicelib.api.http.endpoint import Call, Reply, StepwiseCall, endpoint, stepwise_endpoint
from chalicelib.api.http.job_replies import job_reply
from chalicelib.api.http.pages import page_reply
from chalicelib.api.schemas.folders import FolderQuery, FoldersOut, FoldersQuery
from chalicelib.api.schemas.jobs import JobOut
from chalicelib.catalog.commands import DeleteFolder
from chalicelib.errors import InvalidCursor, NotFound, TooBroad, TooManyJobs
from chalicelib.services.files import folders
from chalicelib.services.files.folders import FolderListing
from chalicelib.services.jobs.queue import create_job


@endpoint(query=FoldersQuery, right="viewer", response=FoldersOut, errors=(NotFound, InvalidCursor, TooBroad))
def list_folders(call: Call[None, FoldersQuery, None]) -> Reply:
    """List folders, which keys with slashes look like.

    These are the folders right below `prefix`, with how many files and bytes are in each, at any depth. For members,
    only their own files count, or those of the session that `session_id` names, with `owner_id` one that is shared with them.
    `/api/files?folder=` lists the files of one folder. Sums that are not `exact` are of at
    least so many files and bytes. A page may have fewer folders than `limit`, or none, although a next one follows.
    """
    page, total = folders.list_folders(call.tx, FolderListing(**call.query.model_dump(exclude={"owner_id"})))
    return page_reply(call, page, files=total.files, bytes=total.bytes, exact=total.exact)


@stepwise_endpoint(query=FolderQuery, response=JobOut, status=202, errors=(TooManyJobs,))
def delete_folder(call: StepwiseCall[None, FolderQuery, None]) -> Reply:
    """Delete all files whose key starts with `prefix`, at any depth.

    This creates a job, which deletes the files that were there when it was created. They go to the trash, and can be
    restored.
    """
    with call.ctx.transaction() as tx:
        bucket = call.query.bucket or tx.settings.bucket
        job = create_job(tx, DeleteFolder(bucket, call.query.prefix, tx.now))
    return job_reply(call, job.id)
