"""What copies, moves and restores have in common: S3 copies the bytes, and none of them comes here.

Each of them is a job that is begun at once. If it breaks off in the middle, the clock finishes it or takes it back. A
process may die after S3 has made a copy and before it has noted the copy. The next process recognises the copy by its
size and its ETag, and notes it as the job's own.
"""

from collections.abc import Callable
from typing import Protocol

from chalicelib.catalog.objects import Copied, Location, ObjectHead, Over, Source
from chalicelib.errors import NotFound, PreconditionFailed
from chalicelib.services.context import Context


class CopyingProgress(Protocol):
    """What a job that copies notes about its copies: see `chalicelib.catalog.progress.MoveProgress`."""

    foretold: str | None
    copies: list[Copied]


class CopyingWork(Protocol):
    """A job that copies."""

    @property
    def ctx(self) -> Context: ...

    @property
    def progress(self) -> CopyingProgress: ...

    def save(self) -> None: ...


def head(ctx: Context, location: Location, version_id: str | None = None) -> ObjectHead | None:
    """The headers of an object; None if there is none."""
    try:
        return ctx.store.head(*location, version_id)
    except NotFound:
        return None


def is_unnoted_copy(there: ObjectHead, of: Source | None, progress: CopyingProgress) -> bool:
    """Whether an object is a copy of ``of`` that an earlier process has made, but did not live to note."""
    return of is not None and there.size == of.size and there.etag in (of.etag, progress.foretold)


def copy_over(work: CopyingWork, source: Source, location: Location, over: str) -> ObjectHead:
    """Have S3 copy an object over the one with the ETag ``over``, or to a location without an object (``""``). Note the copy.

    Raises:
        PreconditionFailed: something else is there, or comes there before we have seen the copy, or the source is
            another object by now.
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
    """A function that notes the ETag that a copy will have."""

    def foretell(etag: str) -> None:
        work.progress.foretold = etag
        work.save()

    return foretell
