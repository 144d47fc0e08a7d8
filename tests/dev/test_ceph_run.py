"""`make run STACK=ceph` on a real cluster: what its bucket holds is in the catalogue, whoever was down meanwhile."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import urllib3

from dev.configuration import Configuration
from dev.infra import client
from tests.support.aws import empty_bucket
from tests.support.instances import Instance, NewInstance
from tests.support.lacking import ceph_variables
from tests.support.ports import free_ports
from tests.support.rgw import delete_topics
from tests.support.waiting import eventually

# Ceph gives a topic up after a burst of so many that nobody takes.
BURST = 60
# It takes up to half a minute to find a new topic.
PATIENCE = 60


class Cluster:
    """A cluster, and a bucket on it of the test's own."""

    def __init__(self, home: Path, webhook_port: int) -> None:
        self.variables = ceph_variables() | {
            "LANDFALL_STACK": "ceph",
            "LANDFALL_BUCKET": f"landfall-test-{uuid4().hex[:12]}",
            "LANDFALL_WEBHOOK_PORT": str(webhook_port),
        }
        self.configuration = Configuration.from_environment(self.variables | {"LANDFALL_HOME": str(home)})
        ours = self.configuration
        self.s3: Any = client("s3", ours.endpoint, ours.access_key, ours.secret_key, s3={"addressing_style": "path"})

    def put(self, *keys: str) -> None:
        for key in keys:
            self.s3.put_object(Bucket=self.configuration.bucket, Key=key, Body=key.encode(), ContentType="text/plain")

    def objects(self) -> dict[str, tuple[str, int, str]]:
        """Version id, size and ETag of every current object by its key."""
        versions = self.s3.list_object_versions(Bucket=self.configuration.bucket).get("Versions", [])
        return {v["Key"]: (v["VersionId"], v["Size"], v["ETag"].strip('"')) for v in versions if v["IsLatest"]}

    def remove(self) -> None:
        empty_bucket(self.s3, self.configuration.bucket)
        self.s3.delete_bucket(Bucket=self.configuration.bucket)
        delete_topics(self.configuration)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path, *free_ports(1))
    yield made
    made.remove()


@pytest.fixture
def start(new_instance: NewInstance, cluster: Cluster) -> Callable[..., Instance]:
    """Starts the stack on the cluster."""
    return lambda **variables: new_instance(command="run", **cluster.variables | variables).wait_until_up()


def test_a_first_use_says_what_the_cluster_ignores_and_shows_no_secret(
    start: Callable[..., Instance], cluster: Cluster
) -> None:
    instance = start()
    assert cluster.configuration.endpoint in instance.output
    assert cluster.configuration.secret_key not in instance.output
    assert "conditional_delete" in instance.get("/ready")["store"]["ignores"]

    session = urllib3.request("POST", instance.url("API") + "/api/session", json={"session_id": "test_123"})
    assert session.status == 201, session.data
    cluster.put("drop/read me.md")
    fields = {"file": ("note.txt", b"hello"), "session_id": "test_123"}
    uploaded = urllib3.request("POST", instance.url("API") + "/api/files/upload", fields=fields)
    assert uploaded.status == 201, uploaded.data

    assert eventually(lambda: instance.catalogue() == cluster.objects(), PATIENCE)
    assert instance.changes("drop/read me.md") == ["put"]
    instance.end()
    assert (instance.process.returncode, instance.errors, instance.remains()) == (0, "", [])


def test_what_comes_while_landfall_is_down_is_found_and_later_events_come_again(
    start: Callable[..., Instance], cluster: Cluster
) -> None:
    first = start()
    cluster.put("before", "deleted meanwhile")
    assert eventually(lambda: len(first.catalogue()) == 2, PATIENCE)
    first.end()

    cluster.put(*(f"meanwhile/{number}" for number in range(BURST)))
    cluster.s3.delete_object(Bucket=cluster.configuration.bucket, Key="deleted meanwhile")
    second = start(**first.environment)
    assert eventually(lambda: second.catalogue() == cluster.objects())
    assert len(second.catalogue()) == 1 + BURST

    cluster.put("after", "before")
    assert eventually(lambda: second.catalogue() == cluster.objects(), PATIENCE)
    assert second.changes("after") == ["put"]


def test_a_landfall_that_is_killed_in_a_stream_of_events_loses_and_doubles_nothing(
    start: Callable[..., Instance], cluster: Cluster
) -> None:
    first = start()
    cluster.put("first")
    assert eventually(lambda: "first" in first.catalogue(), PATIENCE)
    cluster.put(*(f"stream/{number}" for number in range(20)))
    first.end(signal.SIGKILL)
    cluster.put(*(f"stream/{number}" for number in range(10, 30)))

    second = start(**first.environment)
    assert eventually(lambda: second.catalogue() == cluster.objects(), PATIENCE)
    assert len(second.catalogue()) == 31
