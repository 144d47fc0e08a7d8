"""What a probe finds out about each kind of store, and that it leaves nothing behind."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from chalicelib.catalog.objects import EVERYTHING, NOTHING, Guarantees
from chalicelib.errors import Refused, StoreUnavailable
from chalicelib.store import probing
from chalicelib.store.connection import connect
from chalicelib.store.probing import probe
from tests.support.object_stores import Server
from tests.support.refusing import RefusingStore

MINIO = replace(EVERYTHING, conditional_copy=False, conditional_delete=False, conditional_bulk_delete=False)
CEPH = Guarantees(copy_source=True)


@pytest.fixture(autouse=True)
def prefix(monkeypatch: pytest.MonkeyPatch) -> str:
    """How the names of a test's own probes begin: a cluster may have those of others."""
    name = f"landfall-probe-{uuid4().hex[:8]}-"
    monkeypatch.setattr(probing, "_PREFIX", name)
    return name


def probes(server: Server) -> set[str]:
    found = server.s3.list_buckets()["Buckets"]
    return {bucket["Name"] for bucket in found if bucket["Name"].startswith(probing._PREFIX)}


@pytest.fixture
def left_behind(server: Server, prefix: str) -> Iterator[str]:
    """What a probe leaves that died in the middle: objects, versions, an upload."""
    bucket = f"{prefix}{uuid4().hex[:16]}"
    server.s3.create_bucket(Bucket=bucket)
    server.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for _ in range(2):
        server.s3.put_object(Bucket=bucket, Key="put", Body=b"probe")
    server.s3.delete_object(Bucket=bucket, Key="put")
    server.s3.create_multipart_upload(Bucket=bucket, Key="parts")
    yield bucket
    if bucket in probes(server):
        probing._remove(server.s3, bucket)


def test_each_store_honours_what_is_known_of_it(server: Server, client: Any) -> None:
    assert probe(client) == {"emulator": EVERYTHING, "minio": MINIO, "ceph": CEPH}[server.kind]
    assert probes(server) == set()


def test_what_a_dead_probe_left_is_removed_after_an_hour(
    server: Server, client: Any, left_behind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe(client)
    assert left_behind in probes(server)

    monkeypatch.setattr(probing, "_LEFT_BEHIND", timedelta(seconds=-5))  # as if an hour had gone by
    probe(client)
    assert left_behind not in probes(server)


def test_a_bucket_of_somebody_else_is_never_removed(
    server: Server, client: Any, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "_LEFT_BEHIND", timedelta(seconds=-5))
    nearly = f"{prefix}notes"
    server.s3.create_bucket(Bucket=nearly)
    with server.bucket("plain") as bucket:
        probe(client)
        names = {found["Name"] for found in server.s3.list_buckets()["Buckets"]}
    server.s3.delete_bucket(Bucket=nearly)
    assert {bucket, nearly} <= names


def test_a_probe_that_fails_in_the_middle_leaves_nothing(server: Server, client: Any) -> None:
    def break_off(**_: Any) -> None:
        raise KeyboardInterrupt

    client.meta.events.register("before-send.s3.CompleteMultipartUpload", break_off)
    try:
        with pytest.raises(KeyboardInterrupt):
            probe(client)
    finally:
        client.meta.events.unregister("before-send.s3.CompleteMultipartUpload", break_off)

    assert probes(server) == set()


def test_a_store_that_refuses_to_make_a_bucket_says_so() -> None:
    with RefusingStore().running() as store:
        with pytest.raises(Refused) as refused:
            probe(connect("us-east-1", store.url))
        assert refused.value.code == "AccessDenied"
        assert len(store.requests) == 2  # what is left behind could not be listed, either


def test_a_store_that_fails_is_not_said_to_honour_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))
    with RefusingStore(500, "InternalError").running() as store, pytest.raises(StoreUnavailable) as failed:
        probe(connect("us-east-1", store.url))
    assert not isinstance(failed.value, Refused)


def test_what_a_store_ignores_has_a_name() -> None:
    assert EVERYTHING.missing == []
    assert len(NOTHING.missing) == 8
    assert CEPH.missing == [
        "conditional_put",
        "conditional_copy",
        "conditional_completion",
        "conditional_delete",
        "conditional_bulk_delete",
        "part_source",
        "checksums",
    ]


class _Failing:
    """A client whose bulk deletions fail, for a reason that has nothing to do with their conditions."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def delete_objects(self, Delete: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"Errors": [{"Key": item["Key"], "Code": "InternalError"} for item in Delete["Objects"]]}


def test_an_error_of_another_kind_is_not_taken_for_an_honoured_condition(client: Any) -> None:
    assert not probe(_Failing(client)).conditional_bulk_delete


class _Slow:
    """A client of a store that takes its time."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def copy_object(self, **request: Any) -> Any:
        time.sleep(0.3)
        return self._client.copy_object(**request)


def test_what_is_not_tried_in_time_is_not_honoured(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_PATIENCE_SECONDS", 0.2)
    found = probe(_Slow(client))
    assert {"conditional_delete", "part_source", "checksums"} <= set(found.missing)


class _Broken(_Slow):
    """A client of a store that fails at one kind of request."""

    def copy_object(self, **request: Any) -> Any:
        raise ClientError({"Error": {"Code": "InternalError"}, "ResponseMetadata": {"HTTPStatusCode": 500}}, "Copy")  # type: ignore[typeddict-item]


def test_a_request_that_the_store_fails_at_is_not_honoured_and_the_others_are_tried(
    server: Server, client: Any
) -> None:
    found = probe(_Broken(client))
    assert {"conditional_copy", "copy_source"} <= set(found.missing)
    assert found.conditional_put == (server.kind != "ceph")
