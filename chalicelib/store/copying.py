"""Copies made by S3 itself: no byte of them comes here."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from chalicelib.catalog.objects import Copied, CopyUpload, Guarantees, ListedVersion, Location, Over, Source
from chalicelib.errors import NotFound, PreconditionFailed
from chalicelib.store.answers import version_argument, version_id_of
from chalicelib.store.copying_in_parts import Course, PartCopier, from_source, takes_parts
from chalicelib.store.deleting import Deleter
from chalicelib.store.failures import translating
from chalicelib.store.multipart import Multipart
from chalicelib.store.versions import History, Versions

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
        self._versions = versions
        self._deleter = deleter
        self._guarantees = guarantees
        self._parts = PartCopier(client, multipart)

    def copy(
        self,
        source: Source,
        bucket: str,
        key: str,
        media_type: str | None = None,
        course: Course | None = None,
        over: Over | None = None,
    ) -> Copied:
        """Copy one object, in parts if it is large or was made of parts; returns what was made.

        Its headers, user metadata, tags and storage class come along. ``media_type``, if given, replaces its type.

        ``course`` is what the caller notes of a copy in parts. So another process goes on with it, and recognises the copy
        even if this process dies right after it was made: by the ETag that was foretold, which is not its source's. A copy in
        one request has its source's ETag, unless that was made of parts: then S3 gives the copy one that nobody knows before.
        (So it does with a key of KMS, whose copies aren't recognised.)

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
        source = replace(source, size=head["ContentLength"])  # no event need tell it
        headers = {name: head[name] for name in _HEADERS if head.get(name)}
        headers |= {"ContentType": media_type} if media_type else {}
        honours = self._guarantees()
        if takes_parts(source.size, head["ETag"]):
            made = self._copy_in_parts(source, Location(bucket, key), head, headers, course or Course(), over)
            is_certain = honours.conditional_completion
        else:
            made = self._copy_whole(source, bucket, key, headers, over)
            is_certain = honours.conditional_copy and (source.is_fixed or honours.copy_source)
        return made.copied if is_certain else self._check_after(source, head, bucket, key, made, over)

    def drop(self, upload: CopyUpload) -> None:
        """Throw away the parts of a copy that isn't gone on with. If S3 doesn't, its lifecycle rule does so after a week."""
        self._parts.abort(upload)

    def _copy_whole(self, source: Source, bucket: str, key: str, headers: dict[str, Any], over: Over | None) -> "_Made":
        options = {"ChecksumAlgorithm": "SHA256", "MetadataDirective": "REPLACE", **headers}
        if over is not None and self._takes_conditions:
            options |= _condition(over)
        with translating(f"copy an object of {source.bucket}", once=over is not None):
            answer = self._client.copy_object(Bucket=bucket, Key=key, **options, **from_source(source))
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
        location: Location,
        head: dict[str, Any],
        headers: dict[str, Any],
        course: Course,
        over: Over | None,
    ) -> "_Made":
        def check() -> None:
            if not (source.is_fixed or self._guarantees().part_source or self._is_unchanged(source, head)):
                raise PreconditionFailed(f"The object of {source.bucket} is another one by now.")

        condition = _condition(over) if over else {}
        answer = self._parts.copy(source, location, head["LastModified"], headers, course, check, condition)
        return _Made(_copied(answer, answer), is_whole=False)


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


def _condition(over: Over) -> dict[str, str]:
    """What may be at the destination, as S3's operations take it."""
    return {"IfMatch": f'"{over.etag}"'} if over.etag else {"IfNoneMatch": "*"}


def _copied(answer: dict[str, Any], result: dict[str, Any]) -> Copied:
    return Copied(version_id_of(answer), str(result["ETag"]).strip('"'))
