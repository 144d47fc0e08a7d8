"""The object store: the few operations of S3 that Landfall uses, in Landfall's types and errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from chalicelib.errors import NotFound, StoreUnavailable, StoreUncertain
from chalicelib.store.presign import response_headers

_CONNECT_SECONDS, _READ_SECONDS = 3, 10
_ATTEMPTS = 3
# HEAD answers have no body to name a code in; 405 is the answer to reading a delete marker by its version id.
_MISSING = {404, 405}
_NOTHING_IN_RANGE = 416
_CHECKSUMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
_EMULATOR_KEYS = ("test", "test")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What S3 says of an object it just took: ``version_id`` is empty without versioning, ``stored_at`` is S3's clock."""

    version_id: str
    etag: str
    size: int
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class Deletion:
    """What S3 says of a deletion. If it made a delete marker, ``version_id`` is the marker's."""

    version_id: str
    is_marker: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """An object's headers. ``metadata`` is the user's, ``checksums`` are by algorithm, in base64."""

    size: int
    etag: str
    media_type: str | None
    metadata: dict[str, str]
    storage_class: str
    checksums: dict[str, str]
    last_modified: datetime | None
    version_id: str


class ObjectStore:
    """S3 behind one client. Safe to share between threads.

    Every method raises `StoreUnavailable` when S3 doesn't answer, refuses our credentials, or fails on its side.
    """

    def __init__(self, client: Any, public_client: Any) -> None:
        self._client = client
        self._public_client = public_client

    @classmethod
    def connect(cls, region: str, endpoint: str | None, public_endpoint: str | None) -> "ObjectStore":
        """A store at ``endpoint`` (None: AWS), whose links lead to ``public_endpoint`` (None: the same).

        Nothing is sent yet. With an endpoint of its own and no credentials in the environment or the AWS configuration,
        the emulators' customary ``test`` is used; an instance's role is not asked for there.
        """
        client = _client(region, endpoint)
        public = public_endpoint if public_endpoint not in (None, "", endpoint) else None
        return cls(client, _client(region, public) if public else client)

    def put(self, bucket: str, key: str, body: bytes, media_type: str, metadata: dict[str, str]) -> StoredObject:
        """Store an object. Repeating it does no harm but, in a versioned bucket, a further version."""
        with _translating(f"store an object in {bucket}", missing=StoreUnavailable):
            answer = self._client.put_object(
                Bucket=bucket, Key=key, Body=body, ContentType=media_type, Metadata=metadata
            )
        return StoredObject(_version_id(answer), answer["ETag"].strip('"'), len(body), _date(answer))

    def delete(self, bucket: str, key: str, version_id: str | None = None) -> Deletion:
        """Delete an object: the current one, or with ``version_id`` that version for good. A missing key is no error.

        Raises:
            NotFound: there is no such bucket.
        """
        with _translating(f"delete an object of {bucket}"):
            answer = self._client.delete_object(Bucket=bucket, Key=key, **_version(version_id))
        is_marker = bool(answer.get("DeleteMarker")) and version_id is None
        return Deletion(_version_id(answer), is_marker, _date(answer))

    def head(self, bucket: str, key: str, version_id: str | None = None) -> ObjectHead:
        """The headers of an object.

        Raises:
            NotFound: there is no such object or version, or it is a delete marker.
        """
        with _translating(f"read an object of {bucket}"):
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

    def first_bytes(self, bucket: str, key: str, version_id: str | None, count: int) -> bytes:
        """Up to ``count`` bytes from the object's start; empty for an empty object.

        Raises:
            NotFound: there is no such object or version, or it is a delete marker.
        """
        try:
            with _translating(f"read an object of {bucket}"):
                answer = self._client.get_object(
                    Bucket=bucket, Key=key, Range=f"bytes=0-{count - 1}", **_version(version_id)
                )
                with answer["Body"] as stream:
                    return bytes(stream.read(count))  # an emulator may ignore the range
        except _NothingInRange:
            return b""

    def download_link(
        self,
        bucket: str,
        key: str,
        version_id: str | None,
        name: str,
        media_type: str | None,
        seconds: int,
        inline: bool = False,
    ) -> str:
        """A URL that downloads an object under ``name`` for ``seconds``, without any other credentials.

        ``inline`` asks the browser to show it, which is granted to types that a browser doesn't execute. Whether the
        object exists is not checked.
        """
        with _translating("sign a link"):
            return str(
                self._public_client.generate_presigned_url(
                    "get_object",
                    Params={"Bucket": bucket, "Key": key}
                    | _version(version_id)
                    | response_headers(name, media_type, inline),
                    ExpiresIn=seconds,
                )
            )

    def check_bucket(self, bucket: str) -> None:
        """Say whether the bucket is there and ours to use.

        Raises:
            NotFound: there is no such bucket.
        """
        with _translating(f"reach the bucket {bucket}"):
            self._client.head_bucket(Bucket=bucket)


class _NothingInRange(StoreUnavailable):
    """A range of an empty object: no byte of it can be had."""


def _client(region: str, endpoint: str | None) -> Any:
    # botocore alone: boto3 adds nothing that is used here, and the time to import it. Created with a session of its own
    # for each client, since sessions, unlike clients, must not be shared between threads.
    import botocore.session
    from botocore.config import Config

    session = botocore.session.get_session()
    options: dict[str, Any] = {}
    if endpoint:
        # Nobody's instance role signs for an emulator, and asking for one takes seconds where there is none.
        session.get_component("credential_provider").remove("iam-role")
        if session.get_credentials() is None:
            options = dict(zip(("aws_access_key_id", "aws_secret_access_key"), _EMULATOR_KEYS, strict=True))
    config = Config(
        signature_version="s3v4",
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=32,
        # Emulators' buckets have no host names of their own.
        s3={"addressing_style": "path" if endpoint else "virtual"},
        # Not every S3 that isn't AWS's knows the newer default checksums.
        request_checksum_calculation="when_required" if endpoint else "when_supported",
        response_checksum_validation="when_required",
        # A company's proxy does not know the way to an emulator on this machine.
        proxies={} if endpoint else None,
    )
    return session.create_client("s3", region_name=region, endpoint_url=endpoint or None, config=config, **options)


@contextmanager
def _translating(doing: str, missing: type[NotFound] | type[StoreUnavailable] = NotFound) -> Iterator[None]:
    """Raise Landfall's errors for botocore's. Their texts stay inside, as causes: they may hold keys and hosts."""
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, ReadTimeoutError

    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status in _MISSING:
            raise missing(f"The object store could not {doing}: there is none.") from error
        if status == _NOTHING_IN_RANGE:
            raise _NothingInRange(f"The object store could not {doing}: it is empty.") from error
        failure = StoreUncertain if status is None or status >= 500 else StoreUnavailable
        raise failure(f"The object store could not {doing}.") from error
    except (ConnectionClosedError, ReadTimeoutError) as error:
        raise StoreUncertain(f"The object store could not {doing}: its answer did not come.") from error
    except BotoCoreError as error:
        raise StoreUnavailable(f"The object store could not {doing}: it does not answer.") from error


def _version(version_id: str | None) -> dict[str, str]:
    return {"VersionId": version_id} if version_id else {}


def _version_id(answer: dict[str, Any]) -> str:
    version_id = str(answer.get("VersionId") or "")
    return "" if version_id == "null" else version_id


def _date(answer: dict[str, Any]) -> datetime:
    """When S3 answered, by its own clock: to the second, like its ``Last-Modified``."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date).astimezone(UTC) if date else datetime.now(UTC)
