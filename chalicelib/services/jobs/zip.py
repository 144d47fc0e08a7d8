"""Many files in one zip. It is written straight from S3 to S3, part by part, as a file that belongs to the caller and expires."""

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import IO, Any, cast
from uuid import UUID

from chalicelib.catalog.commands import JobResult, Zip
from chalicelib.catalog.files import File
from chalicelib.catalog.objects import Location, Part
from chalicelib.catalog.parts import MIB
from chalicelib.catalog.progress import ZipProgress
from chalicelib.db import uploads
from chalicelib.db.files import change_file, find_file, forget_pending
from chalicelib.db.models import Job
from chalicelib.db.scope import EVERYONE
from chalicelib.errors import NotFound, StoreUnavailable, StoreUncertain, TooLarge
from chalicelib.services.accounts.trail import note
from chalicelib.services.context import Context
from chalicelib.services.files.reading import find_visible
from chalicelib.services.jobs.queue import Work, create_job
from chalicelib.services.removal.deletion import delete_found
from chalicelib.services.uploads.completion import record_if_there
from chalicelib.services.uploads.reservations import Description, UploadRequest, abort_parts, reserve

MAX_BYTES = 2 * 1024 * MIB
_PART_BYTES = 8 * MIB
_CHUNK_BYTES = MIB
_KEPT = timedelta(days=1)
# What a zip writes for each entry, beside the entry's bytes and twice its name.
_ENTRY_BYTES = 200
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f<>:"/\\|?*]')
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)

ZipWork = Work[Zip, ZipProgress]


def begin_zip(ctx: Context, file_ids: list[UUID], name: str) -> tuple[Job, int]:
    """The job that zips these files, and how many bytes they have together.

    Raises:
        NotFound: one of them isn't there for this caller, or holds no bytes. TooLarge: they are too large together.
    """
    total = sum(file.size or 0 for file in _find_stored(ctx, file_ids))
    if total > MAX_BYTES:
        raise TooLarge(f"The files have {total} bytes; a zip takes at most {MAX_BYTES}.")
    with ctx.transaction() as tx:
        return create_job(tx, Zip(file_ids, name), file_ids), total


def zip_step(work: ZipWork) -> bool:
    """Write the whole zip. If an earlier process died and left a part of it, that is thrown away first.

    Raises:
        NotFound: a file is gone. AgainstPolicy, OverQuota: see `reserve`. Cancelled: the job's owner has cancelled it.
    """
    ctx = work.ctx
    _discard(work)
    files = _find_stored(ctx, work.command.file_ids)
    with ctx.transaction() as tx:
        (reservation,) = reserve(tx, [_request(work.command.name, files)])
        # Set from the start, so that the file expires even if this process dies.
        expires_at = tx.now + _KEPT
        change_file(tx.session, reservation.file_id, expires_at=expires_at)
        note(tx, "upload", [reservation.file_id], work.job_id)
        # In this transaction: the process after this one throws the file away, and what is reserved for it.
        # This process notes it before the commit, whose answer may be lost.
        work.progress = ZipProgress(file_id=reservation.file_id)
        work.save_with(tx, work.progress)
    work.save()
    location = reservation.location
    upload_id = ctx.store.multipart.create(*location, reservation.request.media_type)
    try:
        with ctx.transaction() as tx:
            uploads.change_upload(tx.session, reservation.file_id, multipart_id=upload_id)
        writer = _Parts(ctx, location, upload_id)
        _write(work, files, writer)
        ctx.store.multipart.complete(*location, upload_id, writer.finish(), once=True)
    except StoreUncertain:
        raise  # the object may be there: its event, or the next try, will show
    except Exception:  # nothing of the zip may stay, whatever the error is; it is raised again
        _discard(work)
        raise
    record_if_there(ctx, reservation.file_id, location)
    work.result = JobResult(reservation.file_id, expires_at)
    return True


def _request(name: str, files: Sequence[File]) -> UploadRequest:
    size = sum((file.size or 0) + 2 * len(file.name.encode()) + _ENTRY_BYTES for file in files)
    description = Description(metadata={"zip": len(files)})
    return UploadRequest(name, "application/zip", size, method="multipart", description=description)


def undo_zip(work: ZipWork) -> None:
    """Forget the zip and its parts, unless it is finished: then it is the owner's, and expires, whatever became of the job.

    If S3 doesn't answer, the clock does this once the time for the bytes is up.
    """
    file = _begun(work)
    if file is not None and file.state == "pending":
        with suppress(StoreUnavailable):
            _forget(work.ctx, file)


def _discard(work: ZipWork) -> None:
    """Throw away what an earlier try has left: parts, and the row that waits for them."""
    file = _begun(work)
    if file is None or (file.state == "pending" and _forget(work.ctx, file)):
        return
    delete_found(work.ctx, file.id)


def _begun(work: ZipWork) -> File | None:
    """The file that this job writes to, or that an earlier try has left; None if there is none."""
    if work.progress.file_id is None:
        return None
    with work.ctx.transaction() as tx:
        return find_file(tx.session, EVERYONE, work.progress.file_id)


def _forget(ctx: Context, file: File) -> bool:
    """Throw away a pending file and its parts; False if S3 has made the object without telling us.

    That is recorded. If the row were gone, the object's event would make a file that belongs to nobody.
    """
    abort_parts(ctx, file)
    if record_if_there(ctx, file.id, file.location) is not None:
        return False
    with ctx.transaction() as tx:
        forget_pending(tx.session, [file.id])
    return True


def _find_stored(ctx: Context, file_ids: Sequence[UUID]) -> list[File]:
    """Files of the caller, and of sessions that are shared with it.

    Raises:
        NotFound: one of them isn't there for the caller, or holds no bytes.
    """
    found = find_visible(ctx, file_ids)
    for file_id in file_ids:
        if file_id not in found or found[file_id].state != "stored":
            raise NotFound(f"There is no stored file {file_id}.")
    return [found[file_id] for file_id in file_ids]


def _write(work: ZipWork, files: Sequence[File], writer: "_Parts") -> None:
    chunks = work.ctx.store.chunks
    with zipfile.ZipFile(cast(IO[bytes], writer), "w", zipfile.ZIP_STORED) as archive:
        for file, name in zip(files, _names(files), strict=True):
            moment = file.stored_at or file.created_at
            entry = zipfile.ZipInfo(name, max(moment.timetuple()[:6], (1980, 1, 1, 0, 0, 0)))
            with archive.open(entry, "w", force_zip64=True) as target:
                for chunk in chunks(*file.location, file.version_id or None, file.etag or "", _CHUNK_BYTES):
                    target.write(chunk)
                    if writer.has_sent_more():
                        work.save()  # also asks whether to go on
            work.progress.done += 1
            work.save()


def _names(files: Sequence[File]) -> Iterator[str]:
    """The files' names, changed so that any system can unpack them.

    As it is, a name could mean a folder or a drive, or differ from another one only by case.
    """
    seen: set[str] = set()
    for file in files:
        wanted = name = _plain_name(file.name)
        stem, dot, suffix = wanted.rpartition(".")
        number = 2
        while name.casefold() in seen:
            name = f"{stem} ({number}).{suffix}" if dot and stem else f"{wanted} ({number})"
            number += 1
        seen.add(name.casefold())
        yield name


def _plain_name(name: str) -> str:
    plain = _NOT_IN_NAMES.sub("_", name).rstrip(". ")  # Windows drops these at the end
    return f"_{plain}" if not plain or _DEVICE.fullmatch(plain) else plain


class _Parts:
    """The file that a zip is written to. It collects bytes, and sends each full part. Zips are written without seeking."""

    def __init__(self, ctx: Context, location: Location, upload_id: str) -> None:
        self._put_part, self._upload = ctx.store.multipart.put_part, (*location, upload_id)
        self._waiting = bytearray()
        self._parts: list[Part] = []
        self._told = 0

    def write(self, data: Any) -> int:
        self._waiting += data
        while len(self._waiting) >= _PART_BYTES:
            self._send(bytes(self._waiting[:_PART_BYTES]))
            del self._waiting[:_PART_BYTES]
        return len(data)

    def flush(self) -> None:
        """Do nothing: bytes that don't fill a part wait for more."""

    def has_sent_more(self) -> bool:
        """Whether a part was sent since this was last asked."""
        before, self._told = self._told, len(self._parts)
        return self._told > before

    def finish(self) -> list[Part]:
        """Send the rest; returns all parts, in order."""
        if self._waiting or not self._parts:
            self._send(bytes(self._waiting))
        return self._parts

    def _send(self, body: bytes) -> None:
        number = len(self._parts) + 1
        self._parts.append(self._put_part(*self._upload, number, body))
