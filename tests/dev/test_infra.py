"""The template, deployed on the emulator, and what happens to it over restarts and losses."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.catalog.notifications import parse_message
from dev.emulator import Emulator
from dev.infra import Deployed, client, deploy
from dev.stack import ephemeral_emulator
from tests.support.aws import s3_client, take_messages


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    with ephemeral_emulator(tmp_path) as emulator:
        yield emulator


def test_deploying_again_changes_nothing(emulator: Emulator) -> None:
    assert deploy(emulator.url) == deploy(emulator.url)


def test_changed_parameters_reach_the_queue(emulator: Emulator) -> None:
    deploy(emulator.url, visibility_seconds=5)
    deployed = deploy(emulator.url, visibility_seconds=9)

    answer = client("sqs", emulator.url).get_queue_attributes(QueueUrl=deployed.queue_url, AttributeNames=["All"])
    assert answer["Attributes"]["VisibilityTimeout"] == "9"
    assert '"maxReceiveCount":5' in answer["Attributes"]["RedrivePolicy"]


def test_the_bucket_is_versioned_private_and_open_to_browsers(emulator: Emulator) -> None:
    bucket, s3 = deploy(emulator.url).bucket, s3_client(emulator.url)
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    assert {"ETag", "Location"} <= set(s3.get_bucket_cors(Bucket=bucket)["CORSRules"][0]["ExposeHeaders"])


def test_objects_queues_and_notifications_survive_a_restart(emulator: Emulator) -> None:
    deployed = deploy(emulator.url)
    versions = [_put(emulator, deployed, "a.txt") for _ in range(2)]
    assert _take_keys(emulator, deployed) == ["a.txt", "a.txt"]

    emulator.stop()
    emulator.start()

    listed = s3_client(emulator.url).list_object_versions(Bucket=deployed.bucket)["Versions"]
    assert {item["VersionId"] for item in listed} == set(versions)

    _put(emulator, deployed, "b.txt")
    assert _take_keys(emulator, deployed) == ["b.txt"]

    assert deploy(emulator.url) == deployed
    assert _take_keys(emulator, deployed) == []


def test_undelivered_events_survive_a_restart(emulator: Emulator) -> None:
    deployed = deploy(emulator.url)
    _put(emulator, deployed, "a.txt")
    emulator.stop()
    emulator.start()

    assert _take_keys(emulator, deployed) == ["a.txt"]


def test_a_bucket_whose_stack_was_lost_is_adopted_with_its_objects(emulator: Emulator) -> None:
    deployed = deploy(emulator.url)
    _put(emulator, deployed, "kept.txt")
    emulator.kill()
    shutil.rmtree(emulator.home / "emulator" / "state", ignore_errors=True)
    emulator.start()

    assert deploy(emulator.url) == deployed
    assert s3_client(emulator.url).get_bucket_versioning(Bucket=deployed.bucket)["Status"] == "Enabled"
    assert s3_client(emulator.url).get_object(Bucket=deployed.bucket, Key="kept.txt")["Body"].read() == b"x"

    _put(emulator, deployed, "new.txt")
    assert _take_keys(emulator, deployed).count("new.txt") == 1


@pytest.mark.parametrize("lost", ["bucket", "queue"])
def test_a_stack_that_lost_a_part_is_made_whole(emulator: Emulator, lost: str) -> None:
    deployed = deploy(emulator.url)
    if lost == "bucket":
        s3_client(emulator.url).delete_bucket(Bucket=deployed.bucket)
    else:
        client("sqs", emulator.url).delete_queue(QueueUrl=deployed.queue_url)

    assert deploy(emulator.url) == deployed

    _put(emulator, deployed, "new.txt")
    assert _take_keys(emulator, deployed) == ["new.txt"]


def test_two_stacks_share_an_emulator(emulator: Emulator) -> None:
    deploy(emulator.url)
    other = deploy(emulator.url, "other-bucket", queue_name="other-events", stack="other")
    _put(emulator, other, "a.txt")

    assert _take_keys(emulator, other) == ["a.txt"]


def _put(emulator: Emulator, deployed: Deployed, key: str) -> str:
    return str(s3_client(emulator.url).put_object(Bucket=deployed.bucket, Key=key, Body=b"x")["VersionId"])


def _take_keys(emulator: Emulator, deployed: Deployed) -> list[str]:
    """Take everything out of the queue; the keys that its events are about. S3's test events are about none."""
    bodies = take_messages(client("sqs", emulator.url), deployed.queue_url, wait_seconds=1)
    return [notice.key for body in bodies for notice in parse_message(body)]
