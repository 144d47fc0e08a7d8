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
