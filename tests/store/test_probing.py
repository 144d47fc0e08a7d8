"""What a probe leaves alone."""

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.store import probing
from tests.support.object_stores import Server


def test_only_buckets_of_probes_are_removed(server: Server, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket of somebody's may be called nearly so, and is not emptied."""
    if server.kind == "ceph":
        return  # others use the cluster, too, and probe at this moment
    s3 = server.s3
    left, theirs = "landfall-probe-0123456789abcdef", "landfall-probe-notes"
    for bucket in (left, theirs):
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="key", Body=b"hello")
    monkeypatch.setattr(probing, "_LEFT_BEHIND", timedelta(hours=-1))

    probing.probe(client, versioned=False)

    names = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert theirs in names
    assert s3.get_object(Bucket=theirs, Key="key")["Body"].read() == b"hello"
    assert left not in names
    s3.delete_object(Bucket=theirs, Key="key")
    s3.delete_bucket(Bucket=theirs)


class _Failing:
    """A client whose bulk deletions fail, for a reason that has nothing to do with their conditions."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def delete_objects(self, Delete: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"Errors": [{"Key": item["Key"], "Code": "InternalError"} for item in Delete["Objects"]]}


def test_an_error_of_another_kind_is_not_taken_for_an_honoured_condition(client: Any) -> None:
    assert not probing.probe(_Failing(client), versioned=False).conditional_bulk_delete
