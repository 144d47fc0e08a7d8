"""Real object stores of every kind that Landfall runs on, and clients of their buckets."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from chalicelib.catalog.objects import Guarantees, ListedVersion
from chalicelib.store.client import ObjectStore
from chalicelib.store.connection import connect
from dev.minio import MinIO
from dev.stack import ephemeral_emulator
from tests.support.aws import make_bucket, set_versioning
from tests.support.lacking import ceph_variables, minio_program
from tests.support.ports import free_ports

KINDS = ("emulator", "minio", "ceph")
_names = count()


@dataclass(frozen=True)
class Server:
    """An object store that is up. ``s3`` is a client of it, as another program would use it."""

    kind: str
    url: str
    access_key: str
    secret_key: str

    @cached_property
    def s3(self) -> Any:
        return self.client()

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which Landfall finds it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    def client(self) -> Any:
        """A client as Landfall makes it."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            return connect("us-east-1", self.url)

    @contextmanager
    def bucket(self, versioning: str) -> Iterator[str]:
        """A bucket that is ``plain``, ``versioned`` or ``suspended``; it is removed at the end."""
        name = f"landfall-test-{uuid4().hex[:12]}"
        make_bucket(self.s3, name, versioned=versioning != "plain")
        if versioning == "suspended":
            set_versioning(self.s3, name, "Suspended")
        try:
            yield name
        finally:
            self._remove(name)

    def _remove(self, bucket: str) -> None:
        def names() -> list[dict[str, str]]:
            page = self.s3.list_object_versions(Bucket=bucket)
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            return [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in found]

        while found := names():
            self.s3.delete_objects(Bucket=bucket, Delete={"Objects": found[:1000]})
        for upload in self.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
            self.s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        self.s3.delete_bucket(Bucket=bucket)


@contextmanager
def serving(kind: str, home: Path) -> Iterator[Server]:
    """Start a store of this kind, or skip the test where there is none."""
    with ExitStack() as running:
        if kind == "ceph":
            names = ceph_variables()
            yield Server(kind, names["CEPH_ENDPOINT"], names["CEPH_ACCESS_KEY"], names["CEPH_SECRET_KEY"])
        elif kind == "minio":
            port, webhook_port = free_ports(2)
            minio = MinIO(minio_program(), home, port, webhook_port, "a-secret")
            running.callback(minio.stop)
            minio.start()
            yield Server(kind, minio.url, "test", "testtest")
        else:
            emulator = running.enter_context(ephemeral_emulator(home))
            yield Server(kind, emulator.url, "test", "test")


@dataclass(frozen=True)
class Place:
    """A bucket, Landfall's store for it, and another client, who knows nothing of Landfall.

    ``guarantees`` are those that Landfall relies on, all of which the server honours.
    """

    server: Server
    bucket: str
    versioning: str
    guarantees: Guarantees
    client: Any
    store: ObjectStore = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", ObjectStore(self.client, self.client, lambda: self.guarantees))

    @property
    def is_versioned(self) -> bool:
        return self.versioning == "versioned"

    def new_key(self) -> str:
        return f"key-{next(_names)}-"

    # --- what another client does

    def put(self, key: str, body: bytes = b"hello") -> str:
        """Put an object; returns its ETag."""
        return str(self.server.s3.put_object(Bucket=self.bucket, Key=key, Body=body)["ETag"]).strip('"')

    def delete(self, key: str, **options: str) -> None:
        self.server.s3.delete_object(Bucket=self.bucket, Key=key, **options)

    # --- what is there

    def read(self, key: str) -> bytes | None:
        """The bytes of the current object; None if there is none."""
        with suppress(ClientError):
            body: bytes = self.server.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            return body
        return None

    def history(self, key: str) -> list[tuple[str, bool]]:
        """The ETags of the versions of a key, the oldest first, and whether each is a delete marker."""
        return [(entry.etag, entry.is_marker) for entry in self.store.versions.of_key(self.bucket, key)]

    def newest(self, key: str) -> ListedVersion:
        return self.store.versions.of_key(self.bucket, key)[-1]


@contextmanager
def just_before(client: Any, operation: str, action: Callable[[], object], at: str = "") -> Iterator[None]:
    """Do something once, when the client is about to send a request of this kind, which it must do.

    With ``at``, only a request counts whose URL has this text in it.
    """
    done = []

    def act(request: Any, **_: Any) -> None:
        if not done and at in request.url:
            done.append(True)
            action()

    event = f"before-send.s3.{operation}"
    client.meta.events.register(event, act)
    try:
        yield
    finally:
        client.meta.events.unregister(event, act)
    assert done, f"no {operation} was sent"
