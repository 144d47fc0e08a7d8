"""Routes that manage files: copy, move, restore, many at once, folders, trash, zips, and the jobs behind them."""

from typing import Any
from uuid import UUID

from chalice.app import Blueprint

from chalicelib import runtime
from chalicelib.api import problems
from chalicelib.api.endpoint import JSON, Call, Reply, endpoint
from chalicelib.api.pages import Page, PageQuery, page_reply
from chalicelib.api.schemas.files import FileDetail, FilePath
from chalicelib.api.schemas.jobs import FolderQuery, JobOut, JobPath, TrashQuery, ZipCreate
from chalicelib.api.schemas.management import (
    BulkFiles,
    BulkOut,
    FileCopy,
    FileInWork,
    FileMove,
    FileRestore,
    FoldersOut,
    FoldersQuery,
    bulk_result,
)
from chalicelib.db.deadlines import within
from chalicelib.db.models import Job
from chalicelib.errors import (
    AgainstPolicy,
    Conflict,
    Forbidden,
    InvalidCursor,
    NotFound,
    OverQuota,
    StoreUnavailable,
    TooBroad,
    TooLarge,
    Unprocessable,
)

# The services are imported by the views, as in `chalicelib.api.uploads`.

routes = Blueprint(__name__)

# How long a request works on a job that it has made. A larger object than this is left to the clock from the start: nobody
# knows how long S3 copies it, and the gateway waits for 29 seconds.
_INLINE_SECONDS = 5.0
_INLINE_BYTES = 1024**3
# The bytes of a zip come through here.
_INLINE_ZIP_BYTES = 64 * 1024**2


@routes.route("/api/files/{file_id}/copy", methods=["POST"], **JSON)
@endpoint(
    path=FilePath,
    body=FileCopy,
    response=FileInWork,
    status=201,
    also=(202,),
    errors=(NotFound, Conflict, AgainstPolicy, OverQuota, Unprocessable),
    transactional=False,
)
def copy_file(call: Call[FilePath, None, FileCopy]) -> Reply:
    """Copy a file, without its bytes coming here.

    201 with the new file, the caller's own; 202 with the pending file and its `job` if copying takes longer.
    """
    from chalicelib.services import moving
    from chalicelib.services.files import FileChanges

    said = call.body.model_dump(exclude_unset=True)
    # Null means "as it is", but for the session: there it means none.
    changes = FileChanges(**{name: value for name, value in said.items() if value is not None or name == "session_id"})  # type: ignore[typeddict-item]
    with runtime.transaction() as session:
        file_id, job = moving.begin_copy(session, call.settings, call.principal, call.path.file_id, changes, call.now)
    _work_on(call, job.id, job.command["source"]["size"])
    return _file_in_work(call, file_id, job.id, 201)


@routes.route("/api/files/{file_id}/move", methods=["POST"], **JSON)
@endpoint(
    path=FilePath,
    body=FileMove,
    response=FileInWork,
    also=(202,),
    errors=(NotFound, Conflict, Forbidden, Unprocessable),
    transactional=False,
)
def move_file(call: Call[FilePath, None, FileMove]) -> Reply:
    """Give a file another key.

    It keeps its id, its history and what is said of it; its bytes are copied by S3. 202 with the `job` if that takes longer;
    until it is done, and if it fails, the file is where it was. A change of the name alone is a PATCH.
    """
    from chalicelib.services import files, moving

    with runtime.transaction() as session:
        file = files.get_file(session, call.principal, call.path.file_id)
        job = moving.begin_move(
            session, call.settings, call.principal, call.path.file_id, call.body.key, call.body.name, call.now
        )
    _work_on(call, job.id, file["size"])
    return _file_in_work(call, call.path.file_id, job.id, 200)


@routes.route("/api/files/{file_id}/restore", methods=["POST"], **JSON)
@endpoint(
    path=FilePath,
    body=FileRestore,
    response=FileInWork,
    also=(202,),
    errors=(NotFound, Conflict, AgainstPolicy, OverQuota, StoreUnavailable),
    transactional=False,
)
def restore_file(call: Call[FilePath, None, FileRestore]) -> Reply:
    """Bring a deleted file back, or an earlier version of a file.

    409 if S3 holds nothing of it any more. Versions that came later stay in the history. 202 with the `job` if copying a
    large version takes longer.
    """
    from chalicelib.services import bulk, files, moving

    file_id, version_id = call.path.file_id, call.body.version_id
    if version_id is not None:
        with runtime.transaction() as session:
            job = moving.begin_restore(session, call.settings, call.principal, file_id, version_id, call.now)
        _work_on(call, job.id, job.command["source"]["size"])
        return _file_in_work(call, file_id, job.id, 200)
    (outcome,) = bulk.restore_files(
        runtime.transaction, runtime.store(), call.settings, call.principal, [file_id], call.now
    )
    if outcome.error is not None:
        raise outcome.error
    with runtime.transaction() as session:
        return Reply(files.get_file(session, call.principal, file_id) | {"job": None})


@routes.route("/api/files/{file_id}/inspect", methods=["POST"], **JSON)
@endpoint(path=FilePath, response=FileDetail, errors=(NotFound, Conflict), transactional=False)
def inspect_file(call: Call[FilePath, None, None]) -> dict[str, Any]:
    """Read a file's headers and first bytes again.

    Each new object is inspected by itself. This is for one whose inspection was given up because S3 did not answer for
    too long: `/versions` tells by its `inspection_problem`.
    """
    from chalicelib.services.inspection import inspect_again

    return inspect_again(
        runtime.transaction,
        runtime.store(),
        call.principal,
        call.path.file_id,
        runtime.now,
        call.settings.keep_place,
    )


@routes.route("/api/files/bulk-delete", methods=["POST"], **JSON)
@endpoint(body=BulkFiles, response=BulkOut, transactional=False)
def bulk_delete(call: Call[None, None, BulkFiles]) -> dict[str, Any]:
    """Delete up to 1,000 files.

    200 also if some or all of them fail: see each one's `status`.
    """
    from chalicelib.services import bulk

    ids = list(dict.fromkeys(call.body.file_ids))
    return _bulk(call, bulk.delete_files(runtime.transaction, runtime.store(), call.principal, ids, call.now))


@routes.route("/api/files/bulk-restore", methods=["POST"], **JSON)
@endpoint(body=BulkFiles, response=BulkOut, transactional=False)
def bulk_restore(call: Call[None, None, BulkFiles]) -> dict[str, Any]:
    """Bring up to 1,000 deleted files back.

    200 also if some or all of them fail: see each one's `status`. A file that is there already is left as it is.
    """
    from chalicelib.services import bulk

    ids = list(dict.fromkeys(call.body.file_ids))
    return _bulk(
        call, bulk.restore_files(runtime.transaction, runtime.store(), call.settings, call.principal, ids, call.now)
    )


@routes.route("/api/folders", methods=["GET"], **JSON)
@endpoint(query=FoldersQuery, response=FoldersOut, errors=(InvalidCursor, TooBroad))
def list_folders(call: Call[None, FoldersQuery, None]) -> Reply:
    """List folders: what keys with slashes look like.

    Those right below `prefix`, with the files and bytes in each at any depth. A member's hold what it owns. The files of one
    folder are `/api/files?folder=`.
    """
    from chalicelib.services import folders

    query = call.query
    with within(call.session, call.settings.query_seconds, statements=2):
        found, total = folders.list_folders(
            call.session, call.settings, call.principal, query.bucket, query.prefix, query.limit, query.cursor
        )
    reply = page_reply(call, found)
    return Reply(reply.body | total, headers=reply.headers)


@routes.route("/api/folders", methods=["DELETE"], **JSON)
@endpoint(query=FolderQuery, response=JobOut, status=202, transactional=False)
def delete_folder(call: Call[None, FolderQuery, None]) -> Reply:
    """Delete all files whose key starts with `prefix`, at any depth.

    A job; it takes those that were there when it was made. They go to the trash, and can be restored.
    """
    bucket = call.query.bucket or call.settings.bucket
    return _job(call, "delete_folder", {"bucket": bucket, "prefix": call.query.prefix, "until": call.now.isoformat()})


@routes.route("/api/trash", methods=["DELETE"], **JSON)
@endpoint(query=TrashQuery, response=JobOut, status=202, errors=(Forbidden,), transactional=False)
def empty_trash(call: Call[None, TrashQuery, None]) -> Reply:
    """Remove the caller's deleted files for good.

    A job; versions at places that they had before go, too. What is in the trash: `/api/files?state=deleted`. By itself it is
    emptied after `LANDFALL_TRASH_DAYS`.
    """
    if call.query.everyones and not call.principal.is_operator:
        raise Forbidden("Only operators empty everyone's trash.")
    return _job(call, "empty_trash", {"until": call.now.isoformat(), "everyones": call.query.everyones})


@routes.route("/api/zips", methods=["POST"], **JSON)
@endpoint(body=ZipCreate, response=JobOut, status=202, errors=(NotFound, TooLarge), transactional=False)
def create_zip(call: Call[None, None, ZipCreate]) -> Reply:
    """Zip up to 1,000 files, 2 GiB in all.

    A job. The zip is a file of the caller's (`result.file_id`), to be downloaded as any other; it is deleted after a day.
    """
    from chalicelib.services import zips

    with runtime.transaction() as session:
        ids = list(dict.fromkeys(call.body.file_ids))
        job, size = zips.begin_zip(session, call.principal, ids, call.body.name, call.now)
    return _begun(call, job, size if size <= _INLINE_ZIP_BYTES else _INLINE_BYTES + 1)


@routes.route("/api/jobs", methods=["GET"], **JSON)
@endpoint(query=PageQuery, response=Page[JobOut], errors=(InvalidCursor,))
def list_jobs(call: Call[None, PageQuery, None]) -> Reply:
    """List jobs.

    The caller's own, the newest first; an operator's list holds everyone's.
    """
    from chalicelib.services import jobs

    return page_reply(call, jobs.list_jobs(call.session, call.principal, call.query.limit, call.query.cursor))


@routes.route("/api/jobs/{job_id}", methods=["GET"], **JSON)
@endpoint(path=JobPath, response=JobOut, errors=(NotFound,))
def get_job(call: Call[JobPath, None, None]) -> Job:
    """Read how far a job is."""
    from chalicelib.services import jobs

    return jobs.get_job(call.session, call.principal, call.path.job_id)


@routes.route("/api/jobs/{job_id}/cancel", methods=["POST"], **JSON)
@endpoint(path=JobPath, response=JobOut, errors=(NotFound, Conflict), transactional=False)
def cancel_job(call: Call[JobPath, None, None]) -> Job:
    """Stop a job before its next step.

    What it has done stays done. 409 if it has ended.
    """
    from chalicelib.services import jobs

    with runtime.transaction() as session:
        jobs.cancel_job(session, call.principal, call.path.job_id, call.now)
    _work_on(call, call.path.job_id, 0)
    return _read_job(call, call.path.job_id)


def _job(call: Call, kind: Any, command: dict[str, Any]) -> Reply:
    from chalicelib.services import jobs

    with runtime.transaction() as session:
        job = jobs.create_job(session, call.principal, kind, command, call.now)
    return _begun(call, job)


def _begun(call: Call, job: Job, size: int = 0) -> Reply:
    """The job after the first seconds of work on it."""
    _work_on(call, job.id, size)
    return Reply(_read_job(call, job.id), 202, {"Location": f"{call.base_url}/api/jobs/{job.id}"})


def _work_on(call: Call, job_id: UUID, size: int | None) -> None:
    from chalicelib.services.job_steps import run_job

    if (size or 0) <= _INLINE_BYTES:
        run_job(runtime.transaction, runtime.store(), call.settings, runtime.now, job_id, _INLINE_SECONDS)


def _read_job(call: Call, job_id: UUID) -> Job:
    from chalicelib.services import jobs

    with runtime.transaction() as session:
        return jobs.get_job(session, call.principal, job_id)


def _file_in_work(call: Call, file_id: UUID, job_id: UUID, status: int) -> Reply:
    """The file if its job is done; the file with the job if it isn't; else why it failed."""
    from chalicelib.services import files

    job = _read_job(call, job_id)
    if job.state == "failed":
        raise Conflict(job.problem or "It could not be done.")
    with runtime.transaction() as session:
        # Also a deleted one, while a version of it is still being restored.
        file = files.visible_file(session, call.principal, file_id)
    headers = {"Location": f"{call.base_url}/api/files/{file_id}"} if status == 201 else {}
    if job.state == "done":
        return Reply(file | {"job": None}, status, headers)
    return Reply(file | {"job": JobOut.model_validate(job)}, 202, {"Location": f"{call.base_url}/api/jobs/{job.id}"})


def _bulk(call: Call, outcomes: Any) -> dict[str, Any]:
    exchange = call.exchange
    results = []
    for outcome in outcomes:
        problem = None
        if outcome.error is not None:
            kind = problems.kind_of(type(outcome.error))
            path = f"/api/files/{outcome.file_id}"
            problem = problems.document(kind, str(outcome.error), path, exchange.request_id)
        results.append(bulk_result(outcome.file_id, problem))
    return {"results": results}
