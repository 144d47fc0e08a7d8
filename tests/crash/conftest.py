"""A stack for worlds to be made on. Its clients are never used in this process but by what stands for others: forks can't share
them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from chalicelib import runtime
from chalicelib.db.engine import create_catalog_engine
from chalicelib.services import schema
from dev.infra import client
from dev.stack import ephemeral_stack
from tests.crash.world import World


@dataclass(frozen=True)
class Ground:
    """What worlds are made on."""

    s3: Any
    sqs: Any
    queue_url: str
    engine: Engine

    def world(self, versioned: bool, monkeypatch: pytest.MonkeyPatch) -> World:
        bucket = "crash-versioned" if versioned else "crash-plain"
        monkeypatch.setenv("LANDFALL_BUCKET", bucket)
        runtime.settings.cache_clear()
        return World(self.s3, self.sqs, self.queue_url, self.engine, bucket)


@pytest.fixture(scope="module")  # no longer: its settings are this process's and every child's
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder: Path = tmp_path_factory.mktemp("crash")
    with ephemeral_stack(folder) as stack, pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "LANDFALL_DATABASE_URL": stack.postgres.url,
            "LANDFALL_ANY_BUCKET": "true",
            "LANDFALL_INSPECTION": "schedule",
            "LANDFALL_LOG_LEVEL": "ERROR",
            "AWS_ENDPOINT_URL": stack.emulator.url,
        }.items():
            patch.setenv(name, value)
        _forget()
        s3 = client("s3", stack.emulator.url, s3={"addressing_style": "path"})
        target = {"QueueArn": stack.deployed.queue_arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
        for bucket in ("crash-versioned", "crash-plain"):
            s3.create_bucket(Bucket=bucket)
            if bucket == "crash-versioned":
                s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
            s3.put_bucket_notification_configuration(
                Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [target]}
            )
        engine = create_catalog_engine(stack.postgres.url)
        schema.migrate(engine, with_demo_user=True)
        runtime.store()  # before the forks, which use it; never used here
        yield Ground(s3, client("sqs", stack.emulator.url), stack.deployed.queue_url, engine)
        engine.dispose()
    _forget()


def _forget() -> None:
    for singleton in (runtime.settings, runtime.engine, runtime.store):
        singleton.cache_clear()
