"""The bucket on a real cluster: what is made there, what is kept, and what a developer reads if it can't be made."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dev.ceph import address_towards, make_bucket
from dev.configuration import Configuration
from dev.infra import client
from dev.problem import StackProblem
from tests.support.aws import make_bucket as make_plain_bucket
from tests.support.aws import set_versioning
from tests.support.lacking import ceph_variables

RECEIVER = "http://127.0.0.1:9/a-secret"
KEYS = {"CEPH_ENDPOINT": "http://ceph.example:7480", "CEPH_ACCESS_KEY": "us", "CEPH_SECRET_KEY": "secret"}


class Cluster:
    """A cluster, and a bucket's name of the test's own."""

    def __init__(self, home: Path, variables: dict[str, str]) -> None:
        self.bucket = f"landfall-test-{uuid4().hex[:12]}"
        self.configuration = configure(home, **variables, LANDFALL_BUCKET=self.bucket)
        ours = self.configuration
        keys = ours.endpoint, ours.access_key, ours.secret_key
        self.s3, self.sns = client("s3", *keys, s3={"addressing_style": "path"}), client("sns", *keys)

    def notifications(self) -> list[dict[str, Any]]:
        found = self.s3.get_bucket_notification_configuration(Bucket=self.bucket).get("TopicConfigurations", [])
        return sorted(found, key=lambda configured: str(configured["Id"]))

    def topics(self) -> list[str]:
        """Ceph lists one once more for each notification that goes to it."""
        found = {topic["TopicArn"] for topic in self.sns.list_topics()["Topics"]}
        return sorted(arn for arn in found if self.bucket in arn)

    def state(self) -> tuple[Any, ...]:
        """Everything that is set for the bucket."""
        cors = self.s3.get_bucket_cors(Bucket=self.bucket)["CORSRules"]
        ours = [arn for arn in self.topics() if f":landfall-{self.bucket}-" in arn]
        topics = [self.sns.get_topic_attributes(TopicArn=arn)["Attributes"] for arn in ours]
        return self.notifications(), self.versioning(), cors, topics

    def versioning(self) -> str | None:
        status: str | None = self.s3.get_bucket_versioning(Bucket=self.bucket).get("Status")
        return status

    def remove(self) -> None:
        self.s3.delete_bucket(Bucket=self.bucket)
        for topic in self.topics():
            self.sns.delete_topic(TopicArn=topic)


def configure(home: Path, **variables: str) -> Configuration:
    """The configuration of ``STACK=ceph`` with these variables."""
    return Configuration.from_environment({"LANDFALL_STACK": "ceph", "LANDFALL_HOME": str(home), **variables})


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path, ceph_variables())
    yield made
    made.remove()


def test_a_bucket_is_made_with_versions_and_its_events_go_to_the_receiver(cluster: Cluster) -> None:
    make_bucket(cluster.configuration, RECEIVER)

    (notification,), versioning, (cors,), (topic,) = cluster.state()
    assert versioning == "Enabled"
    assert notification["TopicArn"] in cluster.topics()
    assert {"s3:ObjectCreated:*", "s3:ObjectRemoved:*"} <= set(notification["Events"])
    assert "ETag" in cors["ExposeHeaders"]
    assert RECEIVER in str(topic)


def test_each_start_has_a_topic_of_its_own_and_leaves_the_last_one(cluster: Cluster) -> None:
    seen = set()
    for _ in range(3):
        make_bucket(cluster.configuration, RECEIVER)
        (notification,), versioning, _, topics = cluster.state()
        seen.add(notification["TopicArn"])
        assert versioning == "Enabled"
        assert len(topics) <= 2
    assert len(seen) == 3


def test_another_landfall_on_the_bucket_is_told_too(cluster: Cluster) -> None:
    for secret in ("a-secret", "another-secret", "a-secret"):
        make_bucket(cluster.configuration, f"http://127.0.0.1:9/{secret}")
    notified = {notification["TopicArn"] for notification in cluster.notifications()}
    endpoints = [
        str(cluster.sns.get_topic_attributes(TopicArn=arn)["Attributes"]).partition("127.0.0.1:9/")[2]
        for arn in notified
    ]
    assert len(notified) == 2
    assert sorted(endpoint.partition("secret")[0] for endpoint in endpoints) == ["a-", "another-"]


def test_what_others_are_notified_of_stays(cluster: Cluster) -> None:
    make_plain_bucket(cluster.s3, cluster.bucket)
    arn = cluster.sns.create_topic(Name=f"other-{cluster.bucket}", Attributes={"push-endpoint": "http://127.0.0.1:9/x"})
    rules = [{"Name": "prefix", "Value": "images/"}, {"Name": "suffix", "Value": ".png"}]
    theirs = {
        "Id": "theirs",
        "TopicArn": arn["TopicArn"],
        "Events": ["s3:ObjectCreated:Put"],
        "Filter": {"Key": {"FilterRules": rules}},
    }
    cluster.s3.put_bucket_notification_configuration(
        Bucket=cluster.bucket, NotificationConfiguration={"TopicConfigurations": [theirs]}
    )
    (before,) = cluster.notifications()

    for _ in range(2):
        make_bucket(cluster.configuration, RECEIVER)

    ours, kept = cluster.notifications()
    assert kept == before
    assert ours["Id"].startswith("landfall-")


@pytest.mark.parametrize("versioning", [None, "Suspended"])
def test_a_bucket_that_is_there_keeps_its_versioning_and_its_objects(cluster: Cluster, versioning: str | None) -> None:
    make_plain_bucket(cluster.s3, cluster.bucket)
    if versioning:
        set_versioning(cluster.s3, cluster.bucket, versioning)
    cluster.s3.put_object(Bucket=cluster.bucket, Key="kept", Body=b"kept")

    make_bucket(cluster.configuration, RECEIVER)

    assert cluster.versioning() == versioning
    assert cluster.s3.get_object(Bucket=cluster.bucket, Key="kept")["Body"].read() == b"kept"
    cluster.s3.delete_object(Bucket=cluster.bucket, Key="kept", VersionId="null")


def test_wrong_keys_are_said_in_a_sentence(tmp_path: Path) -> None:
    wrong = configure(tmp_path, **ceph_variables() | {"CEPH_SECRET_KEY": "wrong"})
    with pytest.raises(StackProblem, match=r"SignatureDoesNotMatch.*CEPH_ACCESS_KEY"):
        make_bucket(wrong, RECEIVER)


def test_a_cluster_that_does_not_answer_is_said_in_a_sentence(tmp_path: Path) -> None:
    away = configure(tmp_path, **KEYS | {"CEPH_ENDPOINT": "http://127.0.0.1:9"})
    with pytest.raises(StackProblem, match=r"Ceph at http://127.0.0.1:9 .*CEPH_ENDPOINT"):
        make_bucket(away, RECEIVER)


# --- where this machine is, and what must be said


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:7480",
        "http://localhost",
        "https://nobody.invalid",
        "http://[::1]:7480",
        "http://ceph.invalid:99",
    ],
)
def test_a_server_on_this_machine_or_nowhere_calls_back_by_the_loopback_interface(endpoint: str) -> None:
    assert address_towards(endpoint) == "127.0.0.1"


def test_a_server_elsewhere_calls_back_by_an_address_that_is_ours() -> None:
    """192.0.2.1 is nobody's. A machine without a way there says the loopback interface."""
    address = address_towards("http://192.0.2.1:7480")
    assert address.count(".") == 3
    assert address != "192.0.2.1"


def test_a_cluster_and_its_keys_are_taken_from_the_environment(tmp_path: Path) -> None:
    found = configure(tmp_path, **KEYS | {"CEPH_ENDPOINT": "https://ceph.example/"})
    assert (found.stand_in, found.endpoint) == ("ceph", "https://ceph.example")
    assert (found.access_key, found.secret_key, found.emulator_url) == ("us", "secret", found.endpoint)


@pytest.mark.parametrize("missing", [["CEPH_ENDPOINT"], ["CEPH_ACCESS_KEY", "CEPH_SECRET_KEY"], list(KEYS)])
@pytest.mark.parametrize("how", ["absent", "empty"])
def test_variables_that_are_missing_are_named(tmp_path: Path, missing: list[str], how: str) -> None:
    given = {name: value for name, value in KEYS.items() if name not in missing}
    if how == "empty":
        given |= dict.fromkeys(missing, "")
    with pytest.raises(StackProblem, match=f"set {', '.join(missing)}:"):
        configure(tmp_path, **given)


@pytest.mark.parametrize(
    "endpoint",
    ["ceph.example:7480", "ceph.example", "127.0.0.1:7480", "ftp://ceph.example", "http://", "http://ceph:99999"],
)
def test_an_endpoint_that_is_no_url_is_said_to_be_none(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(StackProblem, match=r"CEPH_ENDPOINT must be a URL .*http"):
        configure(tmp_path, **KEYS | {"CEPH_ENDPOINT": endpoint})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("LANDFALL_API_PORT", "LANDFALL_WEBHOOK_PORT"),
        ("LANDFALL_POSTGRES_PORT", "LANDFALL_WEBHOOK_PORT"),
        ("LANDFALL_POSTGRES_PORT", "LANDFALL_API_PORT"),
    ],
)
def test_two_ports_that_are_the_same_are_named(tmp_path: Path, one: str, other: str) -> None:
    with pytest.raises(StackProblem, match=f"{one} and {other} are both 8123"):
        configure(tmp_path, **KEYS, **{one: "8123", other: "8123"})


def test_the_emulators_port_does_not_matter_beside_a_cluster(tmp_path: Path) -> None:
    assert configure(tmp_path, **KEYS, LANDFALL_EMULATOR_PORT="8000").api_port == 8000
