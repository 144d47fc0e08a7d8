"""The object store: the few operations of S3 that Landfall uses, in Landfall's types and errors."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any

from chalicelib.catalog.objects import Deletion, ObjectHead, StoredObject
from chalicelib.errors import NotFound, NotSupported, PreconditionFailed, StoreUnavailable
from chalicelib.store.connection import connect
from chalicelib.store.copying import Copier
from chalicelib.store.failures import translating
from chalicelib.store.links import Links
from chalicelib.store.multipart import Multipart

_CHECKSUMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")


class ObjectStore:
    """S3 behind one client. Safe to share between threads.

    Every method raises `StoreUnavailable` when S3 doesn't answer, refuses our credentials, or fails on its side.
    """

    def __init__(self, client: Any, public_client: Any) -> None:
        self._client = client
        self.links = Links(public_client)
        self.multipart = Multipart(client)
        self.copier = Copier(client, self.multipart)

    @classmethod
    def connect(cls, region: str, endpoint: str | None, public_endpoint: str | None) -> "ObjectStore":
        """A store at ``endpoint`` (None: AWS), whose links lead to ``public_endpoint`` (None: the same).

        Nothing is sent yet.
        """
        client = connect(region, endpoint)
        public = public_endpoint if public_endpoint not in (None, "", endpoint) else None
        return cls(client, connect(region, public) if public else client)

    def put(self, bucket: str, key: str, body: bytes, media_type: str) -> StoredObject:
        """Store an object, and have S3 verify and keep its SHA-256.

        Repeating it does no harm, except that a versioned bucket gets a further version.
        """
        checksum = b64encode(sha256(body).digest()).decode()
        with translating(f"store an object in {bucket}", missing=StoreUnavailable):
            answer = self._client.put_object(
                Bucket=bucket, Key=key, Body=body, ContentType=media_type, ChecksumSHA256=checksum
            )
        return StoredObject(_version_id(answer), answer["ETag"].strip('"'), len(body), _date(answer), checksum)

    def delete(self, bucket: str, key: str, version_id: str | None = None) -> Deletion:
        """Delete the current object, or with ``version_id`` that version permanently. A missing key is no error.

        Raises:
            NotFound: there is no such bucket.
        """
        with translating(f"delete an object of {bucket}"):
            answer = self._client.delete_object(Bucket=bucket, Key=key, **_version(version_id))
        is_marker = bool(answer.get("DeleteMarker")) and version_id is None
        return Deletion(_version_id(answer), is_marker, _date(answer))

    def delete_if(self, bucket: str, key: str, etag: str) -> Deletion:
        """Delete the current object, as long as it is the one with this ETag.

        Raises:
            PreconditionFailed: it is another one. NotFound: there is none any more.
        """
        try:
            with translating(f"delete an object of {bucket}"):
                answer = self._client.delete_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"')
        except NotSupported:
            # LocalStack 4.14. An object that comes between these two requests would be deleted, too.
            if self.head(bucket, key).etag != etag:
                raise PreconditionFailed(f"The object of {bucket} is another one by now.") from None
            return self.delete(bucket, key)
        return Deletion(_version_id(answer), bool(answer.get("DeleteMarker")), _date(answer))

    def delete_many(
        self, bucket: str, names: Sequence[tuple[str, str | None]], etags: Sequence[str] = ()
    ) -> list[Deletion | str]:
        """Delete up to 1,000 objects, each named by key and version id (None: the current one). Returns for each of them a
        `Deletion`, or S3's error code if it was not deleted.

        ``etags`` has one ETag for each name, or "". AWS deletes only an object with that ETag; if another one is there
        by now, the error code says so. Other stores may ignore the ETag, and an old botocore can't send it.
        """
        request = self._client.meta.service_model.operation_model("DeleteObjects").input_shape
        can_ask = "ETag" in request.members["Delete"].members["Objects"].member.members
        conditions = [{"ETag": f'"{etag}"'} if etag and can_ask else {} for etag in etags or [""] * len(names)]
        objects = [
            {"Key": key, **_version(version_id), **condition}
            for (key, version_id), condition in zip(names, conditions, strict=True)
        ]
        with translating(f"delete objects of {bucket}"):
            answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": objects})
        at = _date(answer)
        deleted = {(item["Key"], item.get("VersionId")): item for item in answer.get("Deleted", ())}
        errors = {item["Key"]: str(item.get("Code")) for item in answer.get("Errors", ())}
        return [_deletion(name, deleted, errors, at) for name in names]

    def chunks(self, bucket: str, key: str, version_id: str | None, etag: str, size: int) -> Iterator[bytes]:
        """The bytes of the object that has this ETag, ``size`` at a time.

        Raises:
            NotFound: there is no such object or version. PreconditionFailed: it is another one by now.
        """
        with translating(f"read an object of {bucket}"):
            answer = self._client.get_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"', **_version(version_id))
            stream = answer["Body"]
            with stream:
                yield from stream.iter_chunks(size)

    def head(self, bucket: str, key: str, version_id: str | None = None) -> ObjectHead:
        """The headers of an object.

        Raises:
            NotFound: there is no such object or version, or it is a delete marker.
        """
        with translating(f"read an object of {bucket}"):
            answer = self._client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", **_version(version_id))
        return ObjectHead(
            size=answer["ContentLength"],
            etag=answer["ETag"].strip('"'),
            media_type=answer.get("ContentType"),
            metadata=answer.get("Metadata", {}),
            storage_class=answer.get("StorageClass", "STANDARD"),
            checksums={name: answer[f"Checksum{name}"] for name in _CHECKSUMS if f"Checksum{name}" in answer},
            last_modified=answer.get("LastModified"),
            version_id=_version_id(answer),
        )

    def hiding_marker(self, bucket: str, key: str) -> str | None:
        """The version id of the delete marker that hides the objects of a key; None if an object is current.

        Raises:
            NotFound: there is neither an object nor a delete marker.
        """
        try:
            self.head(bucket, key)
        except NotFound as error:
            headers = getattr(error.__cause__, "response", {}).get("ResponseMetadata", {}).get("HTTPHeaders", {})
            if headers.get("x-amz-delete-marker") != "true":
                raise
            return str(headers.get("x-amz-version-id") or "")
        return None

    def read_range(self, bucket: str, key: str, version_id: str | None, etag: str, start: int, stop: int) -> bytes:
        """The bytes from ``start`` until before ``stop`` of a version that has this ETag.

        It is read as the current object first, which it mostly is. An emulator ignores ranges when a version is named,
        and sends the whole object.

        Raises:
            NotFound: there is no such object or version any more, or it has other bytes by now.
        """
        bounds = {"Bucket": bucket, "Key": key, "Range": f"bytes={start}-{stop - 1}"}
        try:
            return self._read(bounds | {"IfMatch": f'"{etag}"'}, start, stop)
        except (NotFound, PreconditionFailed):
            if version_id is None:
                raise NotFound(f"The object of {bucket} was changed meanwhile.") from None
            return self._read(bounds | _version(version_id), start, stop)

    def _read(self, parameters: dict[str, Any], start: int, stop: int) -> bytes:
        with translating(f"read an object of {parameters['Bucket']}"):
            answer = self._client.get_object(**parameters)
            with answer["Body"] as stream:
                if "ContentRange" not in answer:
                    stream.read(start)
                return bytes(stream.read(stop - start))

    def check_bucket(self, bucket: str) -> None:
        """Check that the bucket exists and that we may use it.

        Raises:
            NotFound: there is no such bucket.
        """
        with translating(f"reach the bucket {bucket}"):
            self._client.head_bucket(Bucket=bucket)


def _deletion(
    name: tuple[str, str | None],
    deleted: Mapping[tuple[str, str | None], dict[str, Any]],
    errors: Mapping[str, str],
    at: datetime,
) -> Deletion | str:
    item = deleted.get(name)
    if item is None:
        return errors.get(name[0], "no answer")
    marker = name[1] is None and bool(item.get("DeleteMarker"))
    return Deletion(str(item.get("DeleteMarkerVersionId") or "") if marker else name[1] or "", marker, at)


def _version(version_id: str | None) -> dict[str, str]:
    return {"VersionId": version_id} if version_id else {}


def _version_id(answer: dict[str, Any]) -> str:
    version_id = str(answer.get("VersionId") or "")
    return "" if version_id == "null" else version_id


def _date(answer: dict[str, Any]) -> datetime:
    """When S3 answered, by its own clock: to the second, like its ``Last-Modified``."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date).astimezone(UTC) if date else datetime.now(UTC)
