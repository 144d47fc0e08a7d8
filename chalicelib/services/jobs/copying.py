"""What copies, moves and restores have in common: S3 copies the bytes, none of them comes here.

Each is a job, begun at once, so that whatever breaks off in the middle is finished or taken back by the clock. A process may die
after S3 has made a copy and before it could note so. The process after it knows that copy by its size and its ETag, and notes it
as the job's own.
"""

from collections.abc import Callable
from typing import Any, Protocol

from chalicelib.catalog.objects import Copied, Location, ObjectHead, Over, Source
from chalicelib.errors import NotFound, PreconditionFailed
from chalicelib.services.context import Context


class CopyingProgress(Protocol):
    """What a job that copies keeps of it: see `chalicelib.catalog.commands.MoveProgress`."""

    foretold: str | None
    copies: list[Copied]


class CopyingWork(Protocol):
    """A job that copies."""

    @property
    def ctx(self) -> Context: ...

    @property
    def progress(self) -> Any: ...

    def save(self) -> None: ...


def head(ctx: Context, location: Location, version_id: str | None = None) -> ObjectHead | None:
    """The headers of an object; None if there is none."""
    try:
        return ctx.store.head(*location, version_id)
    except NotFound:
        return None


def is_unnoted_copy(there: ObjectHead, of: Source | None, progress: CopyingProgress) -> bool:
    """Whether an object is the copy of ``of`` that a process before this one has made, and died before it could note so."""
    return of is not None and there.size == of.size and there.etag in (of.etag, progress.foretold)


def copy_over(work: CopyingWork, source: Source, location: Location, over: str) -> ObjectHead:
    """Have S3 copy an object over the one with the ETag ``over``, or to where nothing is (``""``), and note the copy.

    Raises:
        PreconditionFailed: something else is there, or comes there before we have seen the copy; or the source is another one.
    """
    copy = work.ctx.store.copier.copy
    copied = copy(source, *location, on_part=work.save, foretell=_foretell(work), over=Over(over))
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


def _foretell(work: CopyingWork) -> Callable[[str], None]:
    """Notes the ETag that a copy is going to have."""

    def foretell(etag: str) -> None:
        work.progress.foretold = etag
        work.save()

    return foretell
