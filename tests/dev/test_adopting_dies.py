"""``make adopt`` that is killed between any two of its steps: the next one ends what it began."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text

from chalicelib.db.engine import create_catalog_engine
from chalicelib.services.upkeep import schema
from dev import audits
from dev.infra import client
from dev.stack import Stack
from tests.support.aws import make_bucket, s3_client, take_messages
from tests.support.forks import Fault, in_fork
from tests.support.process import start_over
from tests.support.steps import some_steps


@pytest.fixture
def keys_of(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The keys of the files that the catalogue has of a bucket; this process works on the stack from now on."""
    for name, value in {
        "LANDFALL_HOME": str(tmp_path),
        "LANDFALL_EMULATOR_PORT": stack.emulator.url.rsplit(":", 1)[1],
        "LANDFALL_POSTGRES_PORT": str(make_url(stack.postgres.url).port),
        "LANDFALL_DATABASE_URL": stack.postgres.url,
        "AWS_ENDPOINT_URL": stack.emulator.url,
        "LANDFALL_BUCKET": "the-stacks-own",
    }.items():
        monkeypatch.setenv(name, value)
    start_over()
    engine = create_catalog_engine(stack.postgres.url)
    schema.migrate(engine, with_demo_user=True)

    def keys(bucket: str) -> set[str]:
        with engine.connect() as connection:
            query = text("SELECT key FROM files WHERE bucket = :b AND state = 'stored'")
            return set(connection.scalars(query, {"b": bucket}))

    yield keys
    engine.dispose()
    start_over()


def test_an_adoption_that_dies_at_any_step_is_ended_by_the_next(
    stack: Stack, keys_of: Callable[[str], set[str]]
) -> None:
    s3, sqs = s3_client(stack.emulator.url), client("sqs", stack.emulator.url)
    for step in some_steps(4):
        bucket = f"dies-at-{step}"
        make_bucket(s3, bucket, versioned=True)
        for number in range(3):
            s3.put_object(Bucket=bucket, Key=f"old/{number}", Body=b"1")
        options = argparse.Namespace(bucket=bucket, json=True)

        killed = in_fork(lambda options=options: audits.adopt(options), Fault(die_at=step))
        s3.put_object(Bucket=bucket, Key="between", Body=b"1")
        again = in_fork(lambda options=options: audits.adopt(options))
        assert (again.value, again.error) == (0, "")
        assert keys_of(bucket) == {"old/0", "old/1", "old/2", "between"}, killed.steps

        take_messages(sqs, stack.deployed.queue_url)
        s3.put_object(Bucket=bucket, Key="new", Body=b"1")
        (told,) = take_messages(sqs, stack.deployed.queue_url)
        assert bucket in told, killed.steps
        if not killed.died:
            return
