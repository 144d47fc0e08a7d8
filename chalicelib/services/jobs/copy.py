"""Copying a file: the caller gets a new file with the same bytes."""

from contextlib import suppress
from uuid import UUID

from chalicelib.catalog.commands import Copy, JobResult
from chalicelib.catalog.objects import Over
from chalicelib.catalog.progress import CopyProgress
from chalicelib.db import uploads
from chalicelib.db.files import find_file, forget_pending
from chalicelib.db.models import Job
from chalicelib.db.scope import EVERYONE
from chalicelib.errors import NotFound, StoreUnavailable
from chalicelib.services.context import Context
from chalicelib.services.files.editing import FileChanges
from chalicelib.services.files.reading import find_visible, get_stored_file
from chalicelib.services.jobs.copying import NotedCourse, drop_parts, head
from chalicelib.services.jobs.queue import Work, create_job
from chalicelib.services.uploads.completion import record_if_there
from chalicelib.services.uploads.reservations import Description, UploadRequest, reserve, time_for_bytes


def begin_copy(ctx: Context, file_id: UUID, changes: FileChanges) -> tuple[Job, Copy]:
    """The job that makes a new file with the same bytes, which belongs to the caller.

    Name, metadata and tags are those of the original. So is the session, if the original belongs to the caller, and the caller
    may use sessions.
    ``changes`` may say otherwise.

    Raises:
        NotFound: there is no such file for this caller. Conflict: its bytes haven't arrived yet.
        AgainstPolicy, OverQuota, Forbidden: see `reserve`.
    """
    with ctx.transaction() as tx:
        file = get_stored_file(tx, file_id)
    own = file.owner_id == ctx.principal.user_id and ctx.principal.prefix is None
    description = Description(
        changes.get("session_id", file.session_id if own else None),
        changes.get("metadata", file.metadata),
        changes.get("tags", file.tags),
    )
    name = changes.get("name", file.name)
    request = UploadRequest(name, file.media_type, file.size, method="put", description=description)
    # The copy is no part of the session that the caller may be acting in.
    with ctx.by_itself().transaction() as tx:
        (reservation,) = reserve(tx, [request])
        command = Copy(file.source, reservation.file_id, file.id)
        return create_job(tx, command, [file.id, reservation.file_id]), command


def copy_step(work: Work[Copy, CopyProgress]) -> bool:
    """Have S3 copy the object, and record it.

    Raises:
        NotFound: the source or the new file is gone, or the job's owner may not see the original any more.
        PreconditionFailed: the source is another object by now.
    """
    ctx, command = work.ctx, work.command
    with ctx.transaction() as tx:
        file = find_file(tx.session, EVERYONE, command.file_id)
    if file is None or file.state == "deleted":
        raise NotFound("The new file was deleted meanwhile.")
    if file.state == "pending":
        if head(ctx, file.location) is None:  # only an earlier process of this job puts anything there
            _check_right(work)
            with ctx.transaction() as tx:  # nobody is to give it up amid the copy
                expires_at = tx.now + time_for_bytes(tx.settings, "put", command.source.size)
                uploads.change_upload(tx.session, file.id, expires_at=expires_at)
            # What takes long may be forbidden meanwhile.
            course = NotedCourse(work, check=lambda: _check_right(work))
            ctx.store.copier.copy(command.source, *file.location, course=course, over=Over())
        record_if_there(ctx, file.id, file.location)
    work.result = JobResult(file.id)
    return True


def _check_right(work: Work[Copy, CopyProgress]) -> None:
    """Refuse to copy what the job's owner may not see any more: a job may wait, and the right may have ended.

    Raises:
        NotFound: the job's owner doesn't own the original, and no session that it is in is shared with the owner.
    """
    original = work.command.original
    if original is not None and original not in find_visible(work.ctx, [original]):
        raise NotFound(f"There is no file {original}.")


def undo_copy(work: Work[Copy, CopyProgress]) -> None:
    """Forget the new file, unless its object is there after all: its event would make a file that belongs to nobody.

    If S3 doesn't answer, the clock does this once the time for the bytes is up.
    """
    drop_parts(work)
    with work.ctx.transaction() as tx:
        file = find_file(tx.session, EVERYONE, work.command.file_id)
    if file is None or file.state != "pending":
        return
    with suppress(StoreUnavailable):
        if record_if_there(work.ctx, file.id, file.location) is None:
            with work.ctx.transaction() as tx:
                forget_pending(tx.session, [file.id])
