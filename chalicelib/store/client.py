"""The object store: the few operations of S3 that Landfall uses, in Landfall's types and errors."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from functools import cached_property
from hashlib import md5, sha256
from typing import TYPE_CHECKING, Any

from chalicelib.catalog.objects import Guarantees, ObjectHead, StoredObject
from chalicelib.errors import NotFound, PreconditionFailed, StoreUnavailable
from chalicelib.store.answers import answered_at, plain_version_id, version_argument, version_id_of
from chalicelib.store.connection import connect, connect_sts
from chalicelib.store.copying import Copier
from chalicelib.store.deleting import Deleter
from chalicelib.store.failures import translating
from chalicelib.store.links import Links
from chalicelib.store.multipart import Multipart
from chalicelib.store.versions import Versions

if TYPE_CHECKING:
    from chalicelib.store.credentials import CredentialIssuer
    from chalicelib.store.inventories import Inventories

_CHECKSUMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")


class ObjectStore:
    """S3 behind one client. Safe to share between threads.

    Every method raises `StoreUnavailable` when S3 doesn't answer, refuses our credentials, or fails on its side.
    """

    def __init__(
        self,
        client: Any,
        public_client: Any,
        guarantees: Callable[[], Guarantees],
        connect_sts: Callable[[], Any] | None = None,
    ) -> None:
        self._client = client
        self._connect_sts = connect_sts
        self._guarantees = guarantees
        self.links = Links(public_client)
        self.versions = Versions(client)
        self.deleter = Deleter(client, self.versions, guarantees)
        self.multipart = Multipart(client, guarantees)
        self.copier = Copier(client, self.multipart, self.versions, self.deleter, guarantees)

    @classmethod
    def connect(
        cls, region: str, endpoint: str | None, public_endpoint: str | None, guarantees: Callable[[], Guarantees]
    ) -> "ObjectStore":
        """A store at ``endpoint`` (None: AWS), whose links lead to ``public_endpoint`` (None: the same).

        ``guarantees`` is asked what the store honours, before anything is done that relies on it. Nothing is sent yet.
        """
        client = connect(region, endpoint)
        public = public_endpoint if public_endpoint not in (None, "", endpoint) else None
        public_client = connect(region, public) if public else client
        return cls(client, public_client, guarantees, lambda: connect_sts(region, endpoint))

    @property
    def inventories(self) -> "Inventories":
        """S3 Inventories, in any bucket."""
        from chalicelib.store.inventories import Inventories  # saves 2 ms where none is read

        return Inventories(self._client)

    @cached_property
    def credentials(self) -> "CredentialIssuer":
        """Temporary credentials, from the STS that belongs to this store."""
        from chalicelib.store.credentials import CredentialIssuer  # saves 1 ms where none are given

        assert self._connect_sts is not None, "This store was made without an STS."
        return CredentialIssuer(self._connect_sts())

    def probe(self) -> Guarantees:
        """Try what the store honours; see `chalicelib.store.probing.probe`."""
        from chalicelib.store.probing import probe  # saves 1 ms and botocore's 48: AWS is never probed

        return probe(self._client)

    def put(self, bucket: str, key: str, body: bytes, media_type: str) -> StoredObject:
        """Store an object, and have S3 verify and keep its SHA-256.

        If the store ignores checksums, it verifies the MD5, which all stores do. Repeating it does no harm, except that
        a versioned bucket gets a further version.
        """
        checksum = b64encode(sha256(body).digest()).decode()
        options = {"ContentType": media_type, "ChecksumSHA256": checksum}
        if not self._guarantees().checksums:
            options["ContentMD5"] = b64encode(md5(body, usedforsecurity=False).digest()).decode()
        with translating(f"store an object in {bucket}", missing=StoreUnavailable):
            answer = self._client.put_object(Bucket=bucket, Key=key, Body=body, **options)
        return StoredObject(version_id_of(answer), answer["ETag"].strip('"'), len(body), answered_at(answer), checksum)

    def chunks(self, bucket: str, key: str, version_id: str | None, etag: str, size: int) -> Iterator[bytes]:
        """The bytes of the object that has this ETag, ``size`` at a time.

        Raises:
            NotFound: there is no such object or version. PreconditionFailed: it is another one by now.
        """
        with translating(f"read an object of {bucket}"):
            answer = self._client.get_object(
                Bucket=bucket, Key=key, IfMatch=f'"{etag}"', **version_argument(version_id)
            )
            stream = answer["Body"]
            with stream:
                yield from stream.iter_chunks(size)

    def head(self, bucket: str, key: str, version_id: str | None = None) -> ObjectHead:
        """The headers of an object.

        Raises:
            NotFound: there is no such object or version, or it is a delete marker.
        """
        with translating(f"read an object of {bucket}"):
            answer = self._client.head_object(
                Bucket=bucket, Key=key, ChecksumMode="ENABLED", **version_argument(version_id)
            )
        return ObjectHead(
            size=answer["ContentLength"],
            etag=answer["ETag"].strip('"'),
            media_type=answer.get("ContentType"),
            metadata=answer.get("Metadata", {}),
            storage_class=answer.get("StorageClass", "STANDARD"),
            checksums={name: answer[f"Checksum{name}"] for name in _CHECKSUMS if f"Checksum{name}" in answer},
            last_modified=answer.get("LastModified"),
            version_id=version_id_of(answer),
            locked_until=answer.get("ObjectLockRetainUntilDate"),
            is_held=answer.get("ObjectLockLegalHoldStatus") == "ON",
        )

    def lock(self, bucket: str, key: str, version_id: str, mode: str, until: datetime) -> None:
        """Have S3 keep a version until a time. ``mode``: ``governance`` or ``compliance``.

        Raises:
            NotFound: there is no such version. Refused: the bucket has no Object Lock, or the version is locked for longer.
        """
        retention = {"Mode": mode.upper(), "RetainUntilDate": until}
        with translating(f"lock an object of {bucket}"):
            self._client.put_object_retention(Bucket=bucket, Key=key, VersionId=version_id, Retention=retention)

    def hiding_marker(self, bucket: str, key: str) -> str | None:
        """The version id of the delete marker that hides the objects of a key; None if an object is current.

        Ceph's answer to a HEAD doesn't tell of delete markers, so the versions are listed, too.

        Raises:
            NotFound: there is neither an object nor a delete marker.
        """
        try:
            self.head(bucket, key)
        except NotFound as error:
            headers = getattr(error.__cause__, "response", {}).get("ResponseMetadata", {}).get("HTTPHeaders", {})
            if headers.get("x-amz-delete-marker") == "true":
                return plain_version_id(headers.get("x-amz-version-id"))
            history = self.versions.of_key(bucket, key)
            if not history or not history[-1].is_marker:
                raise
            return history[-1].version_id
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
            return self._read(bounds | version_argument(version_id), start, stop)

    def _read(self, parameters: dict[str, Any], start: int, stop: int) -> bytes:
        with translating(f"read an object of {parameters['Bucket']}"):
            answer = self._client.get_object(**parameters)
            # `with` on the body itself would hand out urllib3's stream, whose errors are not botocore's.
            with closing(answer["Body"]) as stream:
                if "ContentRange" not in answer:
                    _read_fully(stream, start)
                return _read_fully(stream, stop - start)

    def read_document(self, bucket: str, key: str, limit: int) -> bytes:
        """Up to ``limit`` bytes of a small object that is Landfall's own.

        Raises:
            NotFound: there is none. StoreUnavailable.
        """
        with (
            translating(f"read an object of {bucket}"),
            closing(self._client.get_object(Bucket=bucket, Key=key)["Body"]) as stream,
        ):
            return _read_fully(stream, limit)

    def write_document(self, bucket: str, key: str, content: bytes) -> None:
        """Write a small object that is Landfall's own.

        Raises:
            StoreUnavailable.
        """
        with translating(f"write an object of {bucket}"):
            self._client.put_object(Bucket=bucket, Key=key, Body=content, ContentType="application/json")

    def document_written_at(self, bucket: str, key: str) -> datetime | None:
        """When a small object was last written; None if there is none.

        Raises:
            StoreUnavailable.
        """
        try:
            with translating(f"look at an object of {bucket}"):
                written_at: datetime = self._client.head_object(Bucket=bucket, Key=key)["LastModified"]
                return written_at
        except NotFound:
            return None

    def check_bucket(self, bucket: str) -> None:
        """Check that the bucket exists and that we may use it.

        Raises:
            NotFound: there is no such bucket.
        """
        with translating(f"reach the bucket {bucket}"):
            self._client.head_bucket(Bucket=bucket)


def _read_fully(stream: Any, size: int) -> bytes:
    """Read so many bytes, or to the end. A connection that broke off gives fewer at first, and an error only afterwards."""
    data = bytes(stream.read(size)) if size else b""
    while len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data
