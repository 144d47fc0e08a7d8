"""Many files in one zip: written straight from S3 to S3, a part at a time, as a file of the caller's that expires."""

import re
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import IO, Any, cast
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from chalicelib.catalog.objects import Part
from chalicelib.catalog.parts import MIB
from chalicelib.db.file_queries import FileDocument, find_file, find_visible
from chalicelib.db.models import File, Job, Upload
from chalicelib.errors import NotFound, StoreUncertain, TooLarge
from chalicelib.services.arrivals import record_if_there
from chalicelib.services.files import delete_found
from chalicelib.services.jobs import Work, create_job
from chalicelib.services.pending import Announcement, abort_parts, add_pending, forget, new_place
from chalicelib.services.principals import Principal
from chalicelib.store.client import ObjectStore

MOST_FILES = 1000
MOST_BYTES = 2 * 1024 * MIB
_PART_BYTES = 8 * MIB
_CHUNK_BYTES = MIB
_KEPT = timedelta(days=1)
# What a zip writes beside an entry's bytes and, twice, its name.
_ENTRY_BYTES = 200
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f<>:"/\\|?*]')
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def begin_zip(
    session: Session, principal: Principal, file_ids: list[UUID], name: str, now: datetime
) -> tuple[Job, int]:
    """The job that zips these files of the caller's, and how many bytes they have.

    Raises:
        NotFound: one of them isn't there for this caller, or holds no bytes. TooLarge: they are too large together.
    """
    files = _find(session, principal, file_ids)
    total = sum(file["size"] or 0 for file in files)
    if total > MOST_BYTES:
        raise TooLarge(f"The files have {total} bytes; a zip takes at most {MOST_BYTES}.")
    command = {"file_ids": [str(file_id) for file_id in file_ids], "name": name}
    return create_job(session, principal, "zip", command, now), total


def zip_step(work: Work) -> bool:
    """Write the whole zip. What a process before this one left of it, because it died, is thrown away first.

    Raises:
        NotFound: a file is gone. AgainstPolicy, OverQuota: see `add_pending`. Cancelled: the job's owner said so.
    """
    now = work.clock()
    _discard(work)
    with work.transaction() as session:
        files = _find(session, work.principal, [UUID(file_id) for file_id in work.command["file_ids"]])
        size = sum((file["size"] or 0) + 2 * len(file["name"].encode()) + _ENTRY_BYTES for file in files)
        place = new_place(
            work.options.bucket, work.principal, work.command["name"], now, "multipart", "application/zip", size
        )
        add_pending(session, work.options, work.principal, Announcement(metadata={"zip": len(files)}), [place], now)
        # From the start, so that it goes also if nobody comes to tell that it is done.
        expires_at = now + _KEPT
        session.execute(update(File).where(File.id == place.file_id).values(expires_at=expires_at))
    work.progress = {"file_id": str(place.file_id)}
    work.save()
    upload_id = work.store.multipart.create(place.bucket, place.key, place.media_type)
    try:
        with work.transaction() as session:
            session.execute(update(Upload).where(Upload.file_id == place.file_id).values(multipart_id=upload_id))
        writer = _Parts(work.store, place.bucket, place.key, upload_id)
        _write(work, files, writer)
        work.store.multipart.complete(place.bucket, place.key, upload_id, writer.finish())
    except StoreUncertain:
        raise  # it may be there: its event, or the next try, will see
    except Exception:  # whatever it was, nothing of the zip stays; it is raised again
        _discard(work)
        raise
    record_if_there(
        work.transaction, work.store, {"id": str(place.file_id), "bucket": place.bucket, "key": place.key}, now
    )
    work.result = {"file_id": str(place.file_id), "expires_at": expires_at.isoformat()}
    return True


def _discard(work: Work) -> None:
    """Throw away what an earlier try has left: parts, and the row that waits for them."""
    if "file_id" not in work.progress:
        return
    with work.transaction() as session:
        file = find_file(session, UUID(work.progress["file_id"]), None)
    if file is None:
        return
    if file["state"] == "pending":
        abort_parts(work.store, file)
        # S3 may have made the object without our having heard of it: its event would find no row, and make it nobody's.
        if record_if_there(work.transaction, work.store, file, work.clock()) is None:
            with work.transaction() as session:
                forget(session, [UUID(file["id"])])
            return
    delete_found(work.transaction, work.store, UUID(file["id"]), work.clock())


def _find(session: Session, principal: Principal, file_ids: list[UUID]) -> list[FileDocument]:
    owner_id = None if principal.is_operator else principal.user_id
    found = {file["id"]: file for file in find_visible(session, file_ids, owner_id) if file["state"] == "stored"}
    missing = [str(file_id) for file_id in file_ids if str(file_id) not in found]
    if missing:
        raise NotFound(f"There is no stored file {missing[0]}.")
    return [found[str(file_id)] for file_id in file_ids]


def _write(work: Work, files: list[FileDocument], writer: "_Parts") -> None:
    with zipfile.ZipFile(cast(IO[bytes], writer), "w", zipfile.ZIP_STORED) as archive:
        for file, name in zip(files, _names(files), strict=True):
            moment = datetime.fromisoformat(file["stored_at"] or file["created_at"])
            entry = zipfile.ZipInfo(name, max(moment.timetuple()[:6], (1980, 1, 1, 0, 0, 0)))
            with archive.open(entry, "w", force_zip64=True) as target:
                for chunk in work.store.chunks(
                    file["bucket"], file["key"], file["version_id"] or None, file["etag"], _CHUNK_BYTES
                ):
                    target.write(chunk)
                    if writer.has_sent_more():
                        work.save()  # also asks whether to go on
            work.progress["done"] = work.progress.get("done", 0) + 1
            work.save()


def _names(files: list[FileDocument]) -> Iterator[str]:
    """The files' names as any system can unpack them: one may mean a folder or a drive, or differ from another by case alone."""
    seen: set[str] = set()
    for file in files:
        wanted = name = _plain_name(file["name"])
        stem, dot, suffix = wanted.rpartition(".")
        number = 2
        while name.casefold() in seen:
            name = f"{stem} ({number}).{suffix}" if dot and stem else f"{wanted} ({number})"
            number += 1
        seen.add(name.casefold())
        yield name


def _plain_name(name: str) -> str:
    plain = _NOT_IN_NAMES.sub("_", name).rstrip(". ")  # which Windows leaves out
    return f"_{plain}" if not plain or _DEVICE.fullmatch(plain) else plain


class _Parts:
    """What a zip is written to: collects bytes, and sends each full part. It can't seek, and a zip needn't."""

    def __init__(self, store: ObjectStore, bucket: str, key: str, upload_id: str) -> None:
        self._store, self._place = store, (bucket, key, upload_id)
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
        """What is less than a part waits for more."""

    def has_sent_more(self) -> bool:
        """Whether a part was sent since this was last asked."""
        before, self._told = self._told, len(self._parts)
        return self._told > before

    def finish(self) -> list[Part]:
        """Send the rest; all parts, in order."""
        if self._waiting or not self._parts:
            self._send(bytes(self._waiting))
        return self._parts

    def _send(self, body: bytes) -> None:
        number = len(self._parts) + 1
        self._parts.append(self._store.multipart.put_part(*self._place, number, body))
