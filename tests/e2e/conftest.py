"""One stack for all end-to-end tests, started the way `make run` starts it, only with a throw-away Postgres."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import urllib3

from chalicelib.db.engine import create_catalog_engine
from chalicelib.settings import Settings
from dev.configuration import PROJECT, Configuration
from dev.database_setup import prepare
from dev.emulator import Emulator
from dev.infra import client, deploy
from dev.ports import free_port
from dev.postgres import Postgres
from tests.e2e.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("stack")
    options = Configuration(home=home, postgres_port=free_port(), emulator_port=free_port(), api_port=free_port())
    postgres = Postgres(home, options.postgres_port, durable=True)  # it will be killed
    emulator = Emulator(home, options.emulator_port)
    with ExitStack() as running:
        running.callback(postgres.stop)
        postgres.start()
        running.callback(emulator.stop)
        emulator.start()
        deployed = deploy(emulator.url, options.bucket, visibility_seconds=2)
        environment = options.child_environment(deployed.queue_url) | {
            "LANDFALL_EMULATOR_PORT": str(options.emulator_port)
        }
        prepare(Settings.from_environment(environment))
        running.enter_context(_process("delivery", [sys.executable, "-m", "dev.delivery"], environment, home))
        chalice = [sys.executable, "-c", "from chalice.cli import main; main()", "local", "--stage", "local"]
        port = ["--port", str(options.api_port), "--no-autoreload"]
        running.enter_context(_process("api", [*chalice, *port], environment, home))
        _wait_for(f"{options.api_url}/ready")
        yield Stack(
            api_url=options.api_url,
            bucket=deployed.bucket,
            queue_url=deployed.queue_url,
            dead_queue_url=deployed.dead_queue_url,
            s3=client("s3", emulator.url, s3={"addressing_style": "path"}, max_pool_connections=20),
            sqs=client("sqs", emulator.url),
            engine=create_catalog_engine(options.database_url),
            postgres=postgres,
        )


@contextmanager
def _process(name: str, command: list[str], environment: dict[str, str], home: Path) -> Iterator[None]:
    with (home / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=PROJECT, env=os.environ | environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(url: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if urllib3.request("GET", url, retries=False).status == 200:
                return
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} did not answer 200 in {seconds} s")
