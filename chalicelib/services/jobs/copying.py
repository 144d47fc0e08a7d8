"""What copies, moves and restores have in common: S3 copies the bytes, and none of them comes here.

Each of them is a job that is begun at once. If it breaks off in the middle, the clock finishes it or takes it back. A
process may die after S3 has made a copy and before it has noted the copy. The next process recognises the copy by its
size and its ETag, and notes it as the job's own.

A large object is copied in parts, as many as there is time for. S3 keeps them, and the job's next turn copies the others.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from chalicelib.catalog.objects import Copied, CopyUpload, Location, ObjectHead, Over, Source
from chalicelib.catalog.progress import CopiesProgress, CopyProgress
from chalicelib.errors import Conflict, NotFound, PreconditionFailed, Refused, TimeIsUp, Unavailable
from chalicelib.services.context import Context
from chalicelib.store.copying_in_parts import Course

# How often a copy begins anew. Each part is progress, so that nothing else would end it.
_MAX_UPLOADS = 10


class CopyWork(Protocol):
    """A job that copies."""

    @property
    def ctx(self) -> Context: ...

    @property
    def progress(self) -> CopyProgress: ...

    @property
    def until(self) -> datetime: ...

    def save(self, is_further: bool = False) -> None: ...


class CopyingWork(CopyWork, Protocol):
    """A job that notes each of its copies."""

    @property
    def progress(self) -> CopiesProgress: ...


class NotedCourse(Course):
    """How a job's copy in parts comes on. The job notes it, and ends its turn amid the copy once its time is up.

    ``check`` is called after each part: to end the copy by raising.
    """

    def __init__(self, work: CopyWork, check: Callable[[], None] = lambda: None) -> None:
        self._work = work
        self._check = check

    @property
    def upload(self) -> CopyUpload | None:
        """What an earlier turn has noted."""
        return self._work.progress.upload

    def begin(self, upload: CopyUpload) -> None:
        """Note the upload before the first part is copied.

        Raises:
            Conflict: the copy has begun anew too often, as that of an object that is put again and again.
        """
        progress = self._work.progress
        progress.upload, progress.uploads = upload, progress.uploads + 1
        self._work.save()
        if progress.uploads > _MAX_UPLOADS:
            raise Conflict("The object was put again and again while it was being copied.")

    def go_on(self, left: int) -> None:
        """Extend the claim on the job. If its process dies, the next one has a part less to copy."""
        self._work.save(is_further=True)
        self._check()
        if left and self._work.ctx.now >= self._work.until:
            raise TimeIsUp("The copy goes on in the job's next turn.")

    def foretell(self, etag: str) -> None:
        """Note what the copy is recognised by."""
        self._work.progress.foretold = etag
        self._work.save()

    def keeps(self, error: BaseException) -> bool:
        """Nobody undoes what a process had begun that ends. What doesn't answer now may do so later."""
        if isinstance(error, Refused):
            return False
        return isinstance(error, Unavailable | TimeIsUp) or not isinstance(error, Exception)


def head(ctx: Context, location: Location, version_id: str | None = None) -> ObjectHead | None:
    """The headers of an object; None if there is none."""
    try:
        return ctx.store.head(*location, version_id)
    except NotFound:
        return None


def is_unnoted_copy(there: ObjectHead, of: Source | None, progress: CopiesProgress) -> bool:
    """Whether an object is a copy of ``of`` that an earlier process has made, but did not live to note.

    Where nobody has told the size of ``of``, it is 0.
    """
    return of is not None and of.size in (0, there.size) and there.etag in (of.etag, progress.foretold)


def copy_over(work: CopyingWork, source: Source, location: Location, over: str) -> ObjectHead:
    """Have S3 copy an object over the one with the ETag ``over``, or to a location without an object (``""``). Note the copy.

    Raises:
        PreconditionFailed: something else is there, or comes there before we have seen the copy, or the source is
            another object by now.
    """
    copy = work.ctx.store.copier.copy
    copied = copy(source, *location, course=NotedCourse(work), over=Over(over))
    note_copy(work, copied)
    there = head(work.ctx, location, copied.version_id or None)
    if there is None or there.etag != copied.etag:
        raise PreconditionFailed(f"What was copied to {location.key} is not there any more.")
    return there


def note_copy(work: CopyingWork, copied: Copied) -> None:
    """Note an object as made by this job."""
    if copied not in work.progress.copies:
        work.progress.copies.append(copied)
        work.save()


def drop_parts(work: CopyWork) -> None:
    """Throw away the parts of a copy that isn't gone on with, if it has begun any."""
    if (upload := work.progress.upload) is not None:
        work.ctx.store.copier.drop(upload)
