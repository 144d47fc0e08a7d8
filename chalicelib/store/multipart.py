"""Multipart uploads: S3's own protocol for large objects."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from chalicelib.catalog.objects import Guarantees, Part
from chalicelib.errors import NotFound, PreconditionFailed
from chalicelib.store.failures import translating

_NOTHING_THERE: Mapping[str, str] = {"IfNoneMatch": "*"}
# How many uploads to one key are looked at. Clients begin one or two. But a link to begin one can be used any number of times
# until it ends, so there may be thousands.
MAX_UPLOADS = 20
# Each page has up to 1,000 uploads. S3 lists those of the key itself before those of longer keys that begin with it.
_MAX_PAGES = 10


class Multipart:
    """S3's multipart operations. Each raises `NotFound` when there is no such upload (any more)."""

    def __init__(self, client: Any, guarantees: Callable[[], Guarantees]) -> None:
        self._client = client
        self._guarantees = guarantees

    def create(self, bucket: str, key: str, media_type: str | None) -> str:
        """Begin an upload; returns its id."""
        options = {"ContentType": media_type} if media_type else {}
        with translating(f"begin an upload to {bucket}"):
            return str(self._client.create_multipart_upload(Bucket=bucket, Key=key, **options)["UploadId"])

    def list_parts(self, bucket: str, key: str, upload_id: str) -> list[Part]:
        """Every part that is there, in order."""
        with translating(f"list the parts of an upload to {bucket}"):
            return list(self._parts(bucket, key, upload_id))

    def list_ids(self, bucket: str, key: str) -> list[str]:
        """The ids of uploads to ``key`` that are neither complete nor aborted: all, or `MAX_UPLOADS` and one more."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key)
        with translating(f"list the uploads to {bucket}"):
            uploads = (upload for page in islice(pages, _MAX_PAGES) for upload in page.get("Uploads", ()))
            here = (str(upload["UploadId"]) for upload in uploads if upload["Key"] == key)
            return list(islice(here, MAX_UPLOADS + 1))

    def complete(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        parts: Sequence[Part],
        condition: Mapping[str, str] = _NOTHING_THERE,
        *,
        once: bool = False,
    ) -> dict[str, Any]:
        """Make an object of ``parts``; returns S3's answer.

        ``condition`` says what the key may hold; by default it must not hold an object. If the store ignores the
        condition, it is checked right before.

        S3 knows the upload no more once it is complete. So an answer that was lost looks like an upload that is gone, or like
        another object at the key. ``once``: raise `StoreUncertain` then.

        Raises:
            PreconditionFailed: the key holds something else.
            Refused: a part is not there, or a part before the last one is smaller than 5 MiB.
        """
        if condition and not self._guarantees().conditional_completion:
            self._check(bucket, key, condition.get("IfMatch", ""))
        numbered = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        with translating(f"finish an upload to {bucket}", once=once):
            answer: dict[str, Any] = self._client.complete_multipart_upload(
                Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": numbered}, **condition
            )
        return answer

    def _check(self, bucket: str, key: str, etag: str) -> None:
        """Check that the key holds the object with this ETag, or without one that it holds none."""
        try:
            with translating(f"read an object of {bucket}"):
                found = str(self._client.head_object(Bucket=bucket, Key=key)["ETag"])
        except NotFound:
            found = ""
        if found.strip('"') != etag.strip('"'):
            raise PreconditionFailed(f"There is another object in {bucket} by now.")

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        """Throw away all parts."""
        with translating(f"abort an upload to {bucket}"):
            self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)

    def abort_all(self, bucket: str, key: str, noted: str | None) -> bool:
        """Throw away all parts of all uploads to ``key``, but of no more than `MAX_UPLOADS`; says whether these were all.

        ``noted``: the upload whose parts were signed, if one is known. It is among them: it may be the latest of thousands.
        """
        found = self.list_ids(bucket, key)
        some = found[:MAX_UPLOADS]
        if noted is not None and noted not in some and len(found) > MAX_UPLOADS:
            some[-1] = noted
        for upload_id in some:
            with suppress(NotFound):
                self.abort(bucket, key, upload_id)
        return len(found) <= MAX_UPLOADS

    def put_part(self, bucket: str, key: str, upload_id: str, number: int, body: bytes) -> Part:
        """Store a part whose bytes are here."""
        with translating(f"store a part in {bucket}"):
            answer = self._client.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body)
        return Part(number, answer["ETag"], len(body))

    def _parts(self, bucket: str, key: str, upload_id: str) -> Iterator[Part]:
        pages = self._client.get_paginator("list_parts").paginate(Bucket=bucket, Key=key, UploadId=upload_id)
        for page in pages:
            for part in page.get("Parts", ()):
                yield Part(part["PartNumber"], part["ETag"], part["Size"], part.get("LastModified"))
