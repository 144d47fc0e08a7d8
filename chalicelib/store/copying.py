"""Copies made by S3 itself: no byte of them comes here."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import md5
from typing import Any
from urllib.parse import urlencode

from chalicelib.catalog.objects import Copied, Guarantees, ListedVersion, Over, Part, Source
from chalicelib.catalog.parts import MIB, part_size
from chalicelib.errors import LandfallError, NotFound, PreconditionFailed
from chalicelib.store.answers import version_argument, version_id_of
from chalicelib.store.deleting import Deleter
from chalicelib.store.failures import translating
from chalicelib.store.multipart import Multipart
from chalicelib.store.versions import History, Versions

# S3 itself would copy 5 GiB in one request, but that takes longer than we wait for an answer.
_PART_BYTES = 256 * MIB
_COPIERS = 8
_HEADERS = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Metadata",
            "StorageClass")  # fmt: skip


class Copier:
    """Copies objects within S3. Raises `NotFound` if the source is gone, `PreconditionFailed` if it is another one by now."""

    def __init__(
        self,
        client: Any,
        multipart: Multipart,
        versions: Versions,
        deleter: Deleter,
        guarantees: Callable[[], Guarantees],
    ) -> None:
        self._client = client
        self._multipart = multipart
        self._versions = versions
        self._deleter = deleter
        self._guarantees = guarantees

    def copy(
        self,
        source: Source,
        bucket: str,
        key: str,
        media_type: str | None = None,
        on_part: Callable[[], None] = lambda: None,
        foretell: Callable[[str], None] = lambda _: None,
        over: Over | None = None,
    ) -> Copied:
        """Copy one object, in parts if it is large or was made of parts; returns what was made.

        Its headers, user metadata, tags and storage class come along. ``media_type``, if given, replaces its type.

        ``on_part`` is called after each part: to tell that the work goes on, or to end it by raising. ``foretell`` is
        called before an object is made of parts, with the ETag that it will have, which is not its source's. So the
        copy can be recognised even if this process dies right after it was made. A copy in one request has its source's
        ETag, unless that was made of parts: then S3 gives the copy one that nobody knows before. (So it does with a key of
        KMS, whose copies aren't recognised.)

        ``over`` is what may be at the destination; None: anything. It is checked first, because some stores know no
        such condition, and then also left to the store. If something else is there, `PreconditionFailed` is raised.

        If the store ignores a condition, it is checked once more after the copy. A copy of the wrong object, or over
        the wrong one, is removed again. In a bucket without versions, an object that comes to the destination in the
        milliseconds between is lost: no such store lets us prevent that.
        """
        if over is not None:
            self._check(bucket, key, over)
        head = self._head(source)
        if not source.is_fixed and head["ETag"].strip('"') != source.etag:
            raise PreconditionFailed(f"The object of {source.bucket} is another one by now.")
        headers = {name: head[name] for name in _HEADERS if head.get(name)}
        headers |= {"ContentType": media_type} if media_type else {}
        honours = self._guarantees()
        if source.size > _PART_BYTES or "-" in head["ETag"]:
            made = self._copy_in_parts(source, bucket, key, head, headers, on_part, foretell, over)
            is_certain = honours.conditional_completion
        else:
            made = self._copy_whole(source, bucket, key, headers, over)
            is_certain = honours.conditional_copy and (source.is_fixed or honours.copy_source)
        return made.copied if is_certain else self._check_after(source, head, bucket, key, made, over)

    def _copy_whole(self, source: Source, bucket: str, key: str, headers: dict[str, Any], over: Over | None) -> "_Made":
        options = {"ChecksumAlgorithm": "SHA256", "MetadataDirective": "REPLACE", **headers}
        if over is not None and self._takes_conditions:
            options |= _condition(over)
        with translating(f"copy an object of {source.bucket}", once=over is not None):
            answer = self._client.copy_object(Bucket=bucket, Key=key, **options, **_source(source))
        result = answer["CopyObjectResult"]
        return _Made(_copied(answer, result), result.get("LastModified"))

    @property
    def _takes_conditions(self) -> bool:
        """Whether this botocore knows S3's conditional copies: the botocore of a Lambda runtime may be older."""
        return "IfNoneMatch" in self._client.meta.service_model.operation_model("CopyObject").input_shape.members

    def _check(self, bucket: str, key: str, over: Over) -> None:
        try:
            with translating(f"read an object of {bucket}"):
                found = self._client.head_object(Bucket=bucket, Key=key)["ETag"].strip('"')
        except NotFound:
            found = ""
        if found != over.etag:
            raise PreconditionFailed(f"There is another object at its destination in {bucket}.")

    def _head(self, source: Source) -> dict[str, Any]:
        """The source's headers. A copy in parts doesn't bring them along, nor does a copy that replaces one of them."""
        with translating(f"read an object of {source.bucket}"):
            head: dict[str, Any] = self._client.head_object(
                Bucket=source.bucket, Key=source.key, **version_argument(source.version_id)
            )
        return head

    def _is_unchanged(self, source: Source, before: dict[str, Any]) -> bool:
        """Whether a source without a version id is the object that was to be copied, and was so all the time."""
        try:
            after = self._head(source)
        except NotFound:
            return False
        same = (before["ETag"], before["LastModified"]) == (after["ETag"], after["LastModified"])
        return same and after["ETag"].strip('"') == source.etag

    def _check_after(
        self, source: Source, head: dict[str, Any], bucket: str, key: str, made: "_Made", over: Over | None
    ) -> Copied:
        """The copy, with its version id, which Ceph doesn't tell. A copy that should not be there is removed again."""
        history = self._versions.of_key(bucket, key)
        place = _place(history, made)
        if place is None:
            return made.copied  # somebody has removed it already
        copied = Copied(history[place].version_id, made.copied.etag)
        # A copy over its own source has taken the source's place.
        is_itself = (source.bucket, source.key) == (bucket, key)
        is_safe = source.is_fixed or is_itself or self._guarantees().copy_source
        if made.is_whole and not is_safe and not self._is_unchanged(source, head):
            self._remove(bucket, key, copied)
            raise PreconditionFailed(f"The object of {source.bucket} is another one by now.")
        below = history[place - 1] if place else None
        if over is not None and copied.version_id and _etag(below) != over.etag:
            self._remove(bucket, key, copied)
            raise PreconditionFailed(f"There is another object at its destination in {bucket}.")
        return copied

    def _remove(self, bucket: str, key: str, copied: Copied) -> None:
        with suppress(NotFound, PreconditionFailed):
            if copied.version_id:
                self._deleter.delete(bucket, key, copied.version_id)
            else:
                self._deleter.delete_if(bucket, key, copied.etag)

    def _copy_in_parts(
        self,
        source: Source,
        bucket: str,
        key: str,
        head: dict[str, Any],
        headers: dict[str, Any],
        on_part: Callable[[], None],
        foretell: Callable[[str], None],
        over: Over | None,
    ) -> "_Made":
        headers = headers | self._tags(source)
        with translating(f"begin an upload to {bucket}"):
            upload_id = str(self._client.create_multipart_upload(Bucket=bucket, Key=key, **headers)["UploadId"])
        try:
            parts = []
            with ThreadPoolExecutor(_COPIERS) as pool:
                for part in pool.map(
                    lambda span: self._copy_part(source, bucket, key, upload_id, *span), _spans(source)
                ):
                    parts.append(part)
                    on_part()
            if not (source.is_fixed or self._guarantees().part_source or self._is_unchanged(source, head)):
                raise PreconditionFailed(f"The object of {source.bucket} is another one by now.")
            etag = _etag_of(parts)
            foretell(etag)
            answer = self._multipart.complete(
                bucket, key, upload_id, parts, _condition(over) if over else {}, once=True
            )
            # Ceph 16 answers an empty ETag.
            return _Made(_copied(answer, answer if answer["ETag"].strip('"') else {"ETag": etag}), is_whole=False)
        except BaseException:
            with suppress(LandfallError):  # the caller must learn why the copy failed
                self._multipart.abort(bucket, key, upload_id)
            raise

    def _tags(self, source: Source) -> dict[str, str]:
        """The source's tags, which a copy in one request brings along by itself."""
        with translating(f"read an object of {source.bucket}"):
            answer = self._client.get_object_tagging(
                Bucket=source.bucket, Key=source.key, **version_argument(source.version_id)
            )
        tags = urlencode({tag["Key"]: tag["Value"] for tag in answer["TagSet"]})
        return {"Tagging": tags} if tags else {}

    def _copy_part(
        self, source: Source, bucket: str, key: str, upload_id: str, number: int, first: int, last: int
    ) -> Part:
        # S3 takes ranges of sources of more than 5 MB only.
        is_all = last - first + 1 == source.size
        span = {} if is_all else {"CopySourceRange": f"bytes={first}-{last}"}
        with translating(f"copy a part of an object of {source.bucket}"):
            answer = self._client.upload_part_copy(
                Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, **span, **_source(source)
            )
        return Part(number, answer["CopyPartResult"]["ETag"], last - first + 1)


@dataclass(frozen=True, slots=True)
class _Made:
    """What S3 says of a copy that it has made: in one request, also when."""

    copied: Copied
    modified: datetime | None = None
    is_whole: bool = True


def _place(history: History, made: _Made) -> int | None:
    """Where in a history a copy is.

    It is at its version id. If that isn't known, it is the one with its ETag and time. Without a time, it is where its
    ETag was listed last.
    """
    copied = made.copied
    if copied.version_id:
        return next((place for place, entry in enumerate(history) if entry.version_id == copied.version_id), None)
    places = [place for place, entry in enumerate(history) if entry.etag == copied.etag and not entry.is_marker]
    at_its_time = [place for place in places if history[place].modified == made.modified]
    return max(at_its_time or places, default=None)


def _etag(listed: ListedVersion | None) -> str:
    """The ETag of what a listing shows; empty for nothing, and for a delete marker."""
    return "" if listed is None or listed.is_marker else listed.etag


def _source(source: Source) -> dict[str, Any]:
    """The source, as S3's operations that copy take it."""
    parameters: dict[str, Any] = {
        "CopySource": {"Bucket": source.bucket, "Key": source.key, **version_argument(source.version_id)}
    }
    return parameters if source.is_fixed else parameters | {"CopySourceIfMatch": f'"{source.etag}"'}


def _condition(over: Over) -> dict[str, str]:
    """What may be at the destination, as S3's operations take it."""
    return {"IfMatch": f'"{over.etag}"'} if over.etag else {"IfNoneMatch": "*"}


def _copied(answer: dict[str, Any], result: dict[str, Any]) -> Copied:
    return Copied(version_id_of(answer), str(result["ETag"]).strip('"'))


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


def _spans(source: Source) -> Iterator[tuple[int, int, int]]:
    """Number, first and last byte of each part."""
    step = max(_PART_BYTES, part_size(source.size))
    for number, first in enumerate(range(0, source.size, step), 1):
        yield number, first, min(first + step, source.size) - 1
