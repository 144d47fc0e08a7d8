"""A stack for worlds to be made on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.db.engine import create_catalog_engine
from chalicelib.services.upkeep import schema
from dev.infra import client
from dev.stack import ephemeral_stack
from tests.support.aws import make_bucket, s3_client, send_events
from tests.support.crash_world import Ground
from tests.support.process import start_over


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
        start_over()
        s3 = s3_client(stack.emulator.url)
        for bucket in ("crash-versioned", "crash-plain"):
            make_bucket(s3, bucket, versioned=bucket == "crash-versioned")
            send_events(s3, bucket, stack.deployed.queue_arn)
        engine = create_catalog_engine(stack.postgres.url)
        schema.migrate(engine, with_demo_user=True)
        made = Ground(s3, client("sqs", stack.emulator.url), stack.deployed.queue_url, engine)
        made.warm_up(patch)
        yield made
        engine.dispose()
    start_over()
