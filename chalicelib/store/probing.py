"""A probe: which of S3's promises does a store keep? What it does with a request is tried, and never guessed from its name.

It is tried in a bucket of its own, which is removed afterwards, so that no event, no listing and no quota of anybody's
bucket shows it. What a probe that died has left behind is removed by the next one.

Measured with it: Ceph 16.2.15 and 18.2.7 ignore all but ``If-None-Match`` of a PUT in a bucket without versions, and
Ceph 18 also honours the source's condition of a copy. MinIO RELEASE.2025-09-07 ignores conditions of deletions, and
those of copies on their destination.
"""

import re
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import md5, sha256
from typing import Any
from uuid import uuid4

from botocore.exceptions import ParamValidationError

from chalicelib.catalog.objects import Guarantees
from chalicelib.errors import LandfallError, NotFound, PreconditionFailed, Refused, StoreUnavailable, StoreUncertain
from chalicelib.store.failures import translating

_PREFIX = "landfall-probe-"
_LEFT_BEHIND = timedelta(hours=1)
_PATIENCE_SECONDS = 10.0
_ANOTHER = f'"{md5(b"another object", usedforsecurity=False).hexdigest()}"'
_ANOTHER_SHA256 = b64encode(sha256(b"another object").digest()).decode()


def probe(client: Any) -> Guarantees:
    """Try what the store honours, in a bucket without versions and then with them. It takes about forty requests.

    What isn't tried within `_PATIENCE_SECONDS`, because the store is slow, and what fails on the store's side, does not
    count as honoured.

    Raises:
        StoreUnavailable: the store doesn't answer. Refused: it refuses us a bucket to try it in.
    """
    _remove_left_behind(client)
    bucket = f"{_PREFIX}{uuid4().hex[:16]}"
    with translating("make a bucket to be tried in"):
        client.create_bucket(Bucket=bucket)
    try:
        trials = _Trials(client, bucket)
        without_versions = trials.try_put()
        with translating("keep versions"):
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        return replace(trials.run(), conditional_put=without_versions and trials.try_put())
    finally:
        with suppress(LandfallError):
            _remove(client, bucket)


class _Trials:
    """Requests whose conditions don't hold. A store that answers them with success ignores conditions."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._until = time.monotonic() + _PATIENCE_SECONDS

    def try_put(self) -> bool:
        return self._refuses(lambda: self._put("put", IfNoneMatch="*"))

    def run(self) -> Guarantees:
        refuses = self._refuses
        return Guarantees(
            conditional_copy=refuses(lambda: self._copy("copy", IfNoneMatch="*"))
            and refuses(lambda: self._copy("copy", IfMatch=_ANOTHER)),
            conditional_completion=refuses(lambda: self._complete("parts", IfNoneMatch="*"))
            and refuses(lambda: self._complete("parts", IfMatch=_ANOTHER)),
            conditional_delete=refuses(lambda: self._delete("delete")),
            conditional_bulk_delete=refuses(lambda: self._delete_in_bulk("bulk")),
            copy_source=refuses(lambda: self._copy("source", CopySourceIfMatch=_ANOTHER)),
            part_source=refuses(lambda: self._copy_part("part", CopySourceIfMatch=_ANOTHER)),
            checksums=refuses(lambda: self._put("checksum", ChecksumSHA256=_ANOTHER_SHA256)),
        )

    def _refuses(self, attempt: Callable[[], None]) -> bool:
        """Whether the store refuses something because its condition doesn't hold.

        One that doesn't know the request, or a botocore that can't send the condition, is of no more use than one that
        ignores it.
        """
        if time.monotonic() > self._until:
            return False
        try:
            with translating("be tried"):
                attempt()
        except PreconditionFailed:
            return True
        except Refused as error:
            return error.code in _WRONG_CHECKSUM
        except (NotFound, StoreUncertain):
            return False
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, ParamValidationError):
                raise
        return False

    def _object(self, key: str) -> None:
        """Put the object that the condition speaks of, without one."""
        self._client.put_object(Bucket=self._bucket, Key=key, Body=b"probe")

    def _put(self, key: str, **condition: str) -> None:
        self._object(key)
        self._client.put_object(Bucket=self._bucket, Key=key, Body=b"later", **condition)

    def _copy(self, key: str, **condition: str) -> None:
        self._object(key)
        self._object("original")
        source = {"Bucket": self._bucket, "Key": "original"}
        self._client.copy_object(Bucket=self._bucket, Key=key, CopySource=source, **condition)

    def _copy_part(self, key: str, **condition: str) -> None:
        self._object("original")
        source = {"Bucket": self._bucket, "Key": "original"}
        upload_id = self._client.create_multipart_upload(Bucket=self._bucket, Key=key)["UploadId"]
        self._client.upload_part_copy(
            Bucket=self._bucket, Key=key, UploadId=upload_id, PartNumber=1, CopySource=source, **condition
        )

    def _complete(self, key: str, **condition: str) -> None:
        self._object(key)
        upload_id = self._client.create_multipart_upload(Bucket=self._bucket, Key=key)["UploadId"]
        part = {"Bucket": self._bucket, "Key": key, "UploadId": upload_id}
        etag = self._client.upload_part(**part, PartNumber=1, Body=b"part")["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
        self._client.complete_multipart_upload(**part, MultipartUpload=parts, **condition)

    def _delete(self, key: str) -> None:
        self._object(key)
        self._client.delete_object(Bucket=self._bucket, Key=key, IfMatch=_ANOTHER)

    def _delete_in_bulk(self, key: str) -> None:
        self._object(key)
        objects = [{"Key": key, "ETag": _ANOTHER}]
        answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects})
        # Another error, of which there may be one at any time, says nothing of the condition.
        if any(error.get("Code") == "PreconditionFailed" for error in answer.get("Errors", ())):
            raise PreconditionFailed("It was not deleted.")


# What stores call a checksum that isn't that of the bytes.
_WRONG_CHECKSUM = {"BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "InvalidDigest"}


def _remove_left_behind(client: Any) -> None:
    """Remove the buckets of probes that died. That we may not list buckets, or that another probe is faster, is no harm."""
    until = datetime.now(UTC) - _LEFT_BEHIND
    with suppress(LandfallError), translating("list buckets"):
        for bucket in client.list_buckets()["Buckets"]:
            # No bucket of anybody else's, whatever it is called, may be emptied.
            if re.fullmatch(re.escape(_PREFIX) + "[0-9a-f]{16}", bucket["Name"]) and bucket["CreationDate"] < until:
                _remove(client, bucket["Name"])


def _remove(client: Any, bucket: str) -> None:
    with translating("remove the bucket that it was tried in"):
        for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
            client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        listed = client.list_object_versions(Bucket=bucket)
        for version in [*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())]:
            client.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
        client.delete_bucket(Bucket=bucket)
