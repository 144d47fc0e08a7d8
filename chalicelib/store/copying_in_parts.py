"""Copies that S3 makes part by part, and that another process can go on with."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from hashlib import md5
from typing import Any
from urllib.parse import urlencode

from chalicelib.catalog.objects import CopyUpload, Location, Part, Source
from chalicelib.catalog.parts import MIB, part_size
from chalicelib.errors import LandfallError, NotFound, StoreUnavailable
from chalicelib.store.answers import version_argument
from chalicelib.store.failures import lacks_upload, translating
from chalicelib.store.multipart import Multipart

# S3 itself would copy 5 GiB in one request, but that takes longer than we wait for an answer.
_PART_BYTES = 256 * MIB
_COPIERS = 8


class Course:
    """What the caller of a copy in parts is told, so that it can be gone on with. This one notes nothing."""

    @property
    def upload(self) -> CopyUpload | None:
        """The upload that was noted, by an earlier process perhaps."""
        return None

    def begin(self, upload: CopyUpload) -> None:
        """An upload was begun, without a part."""

    def go_on(self, left: int) -> None:
        """A part was copied, and so many are left. May raise, to end the copy."""

    def foretell(self, etag: str) -> None:
        """All parts are there, and the object that they will make will have this ETag."""

    def keeps(self, error: BaseException) -> bool:
        """Whether the copy is to be gone on with after this error. If not, its parts are thrown away."""
        return False


class PartCopier:
    """Has S3 copy objects into multipart uploads."""

    def __init__(self, client: Any, multipart: Multipart) -> None:
        self._client = client
        self._multipart = multipart

    def copy(
        self,
        source: Source,
        location: Location,
        modified: datetime,
        headers: Mapping[str, Any],
        course: Course,
        check: Callable[[], None],
        condition: Mapping[str, str],
    ) -> dict[str, Any]:
        """Copy one object, or go on with what ``course`` has noted of it; returns what S3 says of the copy.

        ``modified`` is when the source was stored, ``headers`` are those of the copy. ``check`` is called once all parts
        are there: to end the copy by raising if the source has changed. ``condition``: see `Multipart.complete`.
        """
        upload, found = self._begun(source, location, modified, course.upload)
        if upload is None:
            upload = self._begin(source, location, modified, headers)
        try:
            if upload != course.upload:
                course.begin(upload)
            parts = self._copy_missing(upload, found, course)
            check()
            etag = _etag_of(parts)
            course.foretell(etag)
            answer = self._multipart.complete(*location, upload.upload_id, parts, condition, once=True)
        except NotFound as error:
            if lacks_upload(error):  # somebody has aborted it, so that the copy begins anew
                raise StoreUnavailable("The object store has lost the parts of a copy.") from error
            self.abort(upload)
            raise
        except BaseException as error:
            if not course.keeps(error):
                self.abort(upload)
            raise
        # Ceph 16 answers an empty ETag.
        return answer if answer["ETag"].strip('"') else {**answer, "ETag": etag}

    def abort(self, upload: CopyUpload) -> None:
        """Throw the parts of a copy away. If S3 doesn't, its lifecycle rule will."""
        with suppress(LandfallError):  # the caller must learn why the copy failed
            self._multipart.abort(*upload.location, upload.upload_id)

    def _begun(
        self, source: Source, location: Location, modified: datetime, noted: CopyUpload | None
    ) -> tuple[CopyUpload | None, Sequence[Part]]:
        """The noted upload and its parts, if it is a copy of this source to this location, and still there."""
        if noted is None:
            return None, ()
        # Without a version id, the same bytes may have been put again meanwhile: parts of both would make an object of neither.
        if (noted.source, noted.location, noted.modified) != (source, location, modified):
            self.abort(noted)
            return None, ()
        with suppress(NotFound):
            return noted, self._multipart.list_parts(*location, noted.upload_id)
        return None, ()

    def _begin(self, source: Source, location: Location, modified: datetime, headers: Mapping[str, Any]) -> CopyUpload:
        bucket, key = location
        headers = {**headers, **self._tags(source)}
        with translating(f"begin an upload to {bucket}"):
            upload_id = str(self._client.create_multipart_upload(Bucket=bucket, Key=key, **headers)["UploadId"])
        return CopyUpload(location, upload_id, source, modified, max(_PART_BYTES, part_size(source.size)))

    def _tags(self, source: Source) -> dict[str, str]:
        """The source's tags, which a copy in one request brings along by itself."""
        with translating(f"read an object of {source.bucket}"):
            answer = self._client.get_object_tagging(
                Bucket=source.bucket, Key=source.key, **version_argument(source.version_id)
            )
        tags = urlencode({tag["Key"]: tag["Value"] for tag in answer["TagSet"]})
        return {"Tagging": tags} if tags else {}

    def _copy_missing(self, upload: CopyUpload, found: Sequence[Part], course: Course) -> list[Part]:
        """All parts of a copy, of which some may have been ``found``."""
        spans = list(_spans(upload))
        sizes = {number: last - first + 1 for number, first, last in spans}
        parts = {part.number: part for part in found if part.size == sizes.get(part.number)}
        missing = [span for span in spans if span[0] not in parts]
        with ThreadPoolExecutor(_COPIERS) as pool:
            copying = [pool.submit(self._copy_part, upload, *span) for span in missing]
            try:
                for done, coming in enumerate(copying, 1):
                    part = coming.result()
                    parts[part.number] = part
                    course.go_on(len(missing) - done)
            finally:
                pool.shutdown(cancel_futures=True)  # what S3 copies at this moment is waited for, and will be found
        return [parts[number] for number, *_ in spans]

    def _copy_part(self, upload: CopyUpload, number: int, first: int, last: int) -> Part:
        source, (bucket, key) = upload.source, upload.location
        if not source.size:
            return self._multipart.put_part(bucket, key, upload.upload_id, number, b"")
        # S3 takes ranges of sources of more than 5 MB only.
        is_all = last - first + 1 == source.size
        span = {} if is_all else {"CopySourceRange": f"bytes={first}-{last}"}
        with translating(f"copy a part of an object of {source.bucket}"):
            answer = self._client.upload_part_copy(
                Bucket=bucket, Key=key, UploadId=upload.upload_id, PartNumber=number, **span, **from_source(source)
            )
        return Part(number, answer["CopyPartResult"]["ETag"], last - first + 1)


def takes_parts(size: int, etag: str) -> bool:
    """Whether an object of this size and ETag is copied in parts: if it is large, or was made of parts itself."""
    return size > _PART_BYTES or "-" in etag


def from_source(source: Source) -> dict[str, Any]:
    """The source, as S3's operations that copy take it."""
    parameters: dict[str, Any] = {
        "CopySource": {"Bucket": source.bucket, "Key": source.key, **version_argument(source.version_id)}
    }
    return parameters if source.is_fixed else parameters | {"CopySourceIfMatch": f'"{source.etag}"'}


def _etag_of(parts: Sequence[Part]) -> str:
    """The ETag of an object made of parts: the MD5 of the parts' ETags, and their number.

    S3 doesn't promise it, but all stores do it so. If the parts' ETags are no MD5, as with a KMS key, the copy may get
    another.
    """
    try:
        joined = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
    except ValueError:
        return ""
    return f"{md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _spans(upload: CopyUpload) -> Iterator[tuple[int, int, int]]:
    """Number, first and last byte of each part. An empty object is one empty part."""
    size, step = upload.source.size, upload.part_bytes
    for number, first in enumerate(range(0, max(size, 1), step), 1):
        yield number, first, min(first + step, size) - 1
