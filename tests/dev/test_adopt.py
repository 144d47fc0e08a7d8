"""``make adopt``: a bucket that was there before, its events beside those of others, and all that it holds."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, make_url, text

from chalicelib.catalog.audits import Audit, AuditState
from chalicelib.db.engine import create_catalog_engine
from chalicelib.services.upkeep import schema
from deploy import template
from dev.audit_report import progress_line
from dev.configuration import PROJECT
from dev.infra import client
from dev.problem import StackProblem
from dev.stack import Stack
from dev.subscriptions import EVENTS, subscribe
from tests.support.aws import make_bucket, s3_client

_numbers = count()


@pytest.fixture
def engine(stack: Stack) -> Iterator[Engine]:
    engine = create_catalog_engine(stack.postgres.url)
    schema.migrate(engine, with_demo_user=True)
    yield engine
    engine.dispose()


@pytest.fixture
def s3(stack: Stack) -> Any:
    return s3_client(stack.emulator.url)


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"from-before-{next(_numbers)}"
    make_bucket(s3, name, versioned=True)
    return name


def adopt(stack: Stack, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "LANDFALL_HOME": str(home),
        "LANDFALL_EMULATOR_PORT": stack.emulator.url.rsplit(":", 1)[1],
        "LANDFALL_POSTGRES_PORT": str(make_url(stack.postgres.url).port),
        "LANDFALL_BUCKET": "the-stacks-own",
    }
    command = [sys.executable, "-m", "dev", "adopt", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def sqs_of(stack: Stack) -> Any:
    return client("sqs", stack.emulator.url)


def told(stack: Stack, bucket: str) -> set[str]:
    """The keys of which the queue tells."""
    keys = set()
    while (
        messages := sqs_of(stack)
        .receive_message(QueueUrl=stack.deployed.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        .get("Messages")
    ):
        for message in messages:
            sqs_of(stack).delete_message(QueueUrl=stack.deployed.queue_url, ReceiptHandle=message["ReceiptHandle"])
            for record in json.loads(message["Body"]).get("Records", []):
                if record["s3"]["bucket"]["name"] == bucket:
                    keys.add(record["s3"]["object"]["key"])
    return keys


def test_a_bucket_is_taken_in_beside_what_others_have_configured(
    stack: Stack, engine: Engine, s3: Any, bucket: str, tmp_path: Path
) -> None:
    queue = sqs_of(stack).create_queue(QueueName=bucket)["QueueUrl"]
    others = {
        "Id": "others",
        "QueueArn": sqs_of(stack).get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ],
        "Events": ["s3:ReducedRedundancyLostObject"],
    }
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [others]})
    for number in range(5):
        s3.put_object(Bucket=bucket, Key=f"old/{number}", Body=b"1")
    s3.delete_object(Bucket=bucket, Key="old/4")

    taken = adopt(stack, tmp_path, bucket)
    assert (taken.returncode, taken.stderr) == (0, "")
    assert f"{bucket}: 6 versions compared" in taken.stdout
    assert "owners, sessions, shares" in taken.stdout
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT state, count(*) FROM files WHERE bucket = :b GROUP BY 1"), {"b": bucket})
        assert {tuple(row) for row in rows} == {("stored", 4), ("deleted", 1)}
        assert connection.scalar(text("SELECT count(*) FROM buckets WHERE name = :b"), {"b": bucket}) == 1

    s3.put_object(Bucket=bucket, Key="new", Body=b"1")
    assert told(stack, bucket) == {"new"}
    configured = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    assert sorted(one["Id"] for one in configured) == ["landfall", "others"]

    again = adopt(stack, tmp_path, bucket, "--json")
    assert json.loads(again.stdout)["recorded"] == 1, "nobody has delivered the event"
    assert s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"] == configured


def test_a_lost_catalogue_comes_back_from_the_bucket(
    stack: Stack, engine: Engine, s3: Any, bucket: str, tmp_path: Path
) -> None:
    for number in range(3):
        s3.put_object(Bucket=bucket, Key="k", Body=b"1" * number)
    adopt(stack, tmp_path, bucket)

    def known() -> list[tuple[Any, ...]]:
        with engine.connect() as connection:
            found = text("""
                SELECT f.key, f.version_id, f.size, v.version_id, v.size, v.etag, v.stored_at
                FROM files AS f JOIN object_versions AS v USING (bucket, key) WHERE f.bucket = :b ORDER BY v.put_rank""")
            return [tuple(row) for row in connection.execute(found, {"b": bucket})]

    before = known()
    assert len(before) == 3
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE files, object_versions, file_events, buckets, audits CASCADE"))
    assert adopt(stack, tmp_path, bucket).returncode == 0
    assert known() == before


@pytest.mark.parametrize(
    "theirs", [["s3:ObjectCreated:Put"], ["s3:ObjectRemoved:*"], ["s3:ObjectTagging:Put"], ["s3:ObjectCreated:*"]]
)
def test_events_that_others_get_already_are_not_taken_from_them(
    stack: Stack, s3: Any, bucket: str, theirs: list[str], tmp_path: Path, engine: Engine
) -> None:
    arn = client("sns", stack.emulator.url).create_topic(Name="theirs")["TopicArn"]
    topic = {"TopicArn": arn, "Events": theirs}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"TopicConfigurations": [topic]})
    refused = adopt(stack, tmp_path, bucket)
    assert refused.returncode == 1
    assert f"sends {theirs[0]} to {topic['TopicArn']} already" in refused.stderr
    assert "Traceback" not in refused.stderr
    with engine.connect() as connection:
        assert not connection.scalar(text("SELECT count(*) FROM buckets WHERE name = :b"), {"b": bucket})
    configured = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert "QueueConfigurations" not in configured


@pytest.mark.parametrize(
    ("bucket", "problem"), [("nowhere", "There is no bucket nowhere."), ("", "Say which bucket: make adopt BUCKET=...")]
)
def test_a_bucket_that_is_not_there_is_one_sentence(
    stack: Stack, engine: Engine, tmp_path: Path, bucket: str, problem: str
) -> None:
    refused = adopt(stack, tmp_path, bucket)
    assert (refused.returncode, refused.stderr) == (1, f"landfall: {problem}\n")


def test_our_own_events_of_a_narrower_kind_are_replaced(stack: Stack, s3: Any, bucket: str) -> None:
    arn = stack.deployed.queue_arn
    assert subscribe(s3, bucket, arn, ["s3:ObjectCreated:*"])
    assert subscribe(s3, bucket, arn, EVENTS)
    assert not subscribe(s3, bucket, arn, EVENTS)
    (configured,) = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    assert set(configured["Events"]) == set(EVENTS)
    with pytest.raises(StackProblem, match="can't be made to tell"):
        subscribe(s3_client("http://127.0.0.1:1"), bucket, arn, EVENTS)


def test_the_events_are_those_of_the_template() -> None:
    (bucket,) = [item for name, item in template.load("resources")["Resources"].items() if name == "FilesBucket"]
    configured = bucket["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
    assert [one["Event"] for one in configured] == list(EVENTS)


@pytest.mark.parametrize(
    ("state", "compared", "expected", "line"),
    [
        ("listing", 0, 0, "0 compared, 0/s, 5 differ"),
        ("listing", 500, 0, "500 compared, 50/s, 5 differ"),
        ("listing", 500, 1000, "[############............]  50%  500 compared, 50/s, 5 differ; 0:10 left"),
        ("listing", 2000, 1000, "2,000 compared, 200/s, 5 differ"),
        ("settling", 500, 1000, "500 compared, 50/s, 5 differ; 3 to look at again"),
        ("braked", 500, 1000, "500 compared, 50/s, 5 differ; braked"),
    ],
)
def test_the_progress(state: AuditState, compared: int, expected: int, line: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    audit = Audit(
        UUID(int=1),
        "b",
        "",
        True,
        state,
        0.05,
        60,
        None,
        now,
        now + timedelta(seconds=10),
        None,
        compared,
        1,
        2,
        2,
        1,
        0,
        inventory=None,
        inventory_at=None,
    )
    assert progress_line(audit, expected, 10.0) == line
