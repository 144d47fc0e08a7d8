"""Schemathesis makes thousands of requests from the OpenAPI document, and holds every answer against it.

All its checks, in all its phases (both are its defaults); the exceptions are in schemathesis.toml and schemathesis_hooks.py,
each with its reason.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.services.accounts.principals import DEMO_USER_ID
from dev.emulator import Emulator
from tests.support.api import Api
from tests.support.worker import worker

HERE = Path(__file__).parent


@pytest.fixture
def api_alone(serve: Any, api_database_copy: str, emulator: Emulator, s3: Any) -> Iterator[Api]:
    """A server whose bucket and database nobody else has, so that a seed says what happens."""
    s3.create_bucket(Bucket="schemathesis")
    with (
        worker(api_database_copy, emulator.url),
        serve(api_database_copy, AWS_ENDPOINT_URL=emulator.url, LANDFALL_BUCKET="schemathesis") as api,
    ):
        api("GET", "/openapi.json")  # built once; on a busy machine that takes longer than Schemathesis waits for it
        yield api


def test_the_server_does_what_its_document_says(api_alone: Api) -> None:
    command = [str(Path(sys.executable).with_name("st")), "--config-file", str(HERE / "schemathesis.toml"), "run"]
    options = {
        "--max-examples": os.environ.get("LANDFALL_EXAMPLES") or ("10" if os.environ.get("LANDFALL_TEST_ALL") else "3"),
        "--seed": "1",
        "--request-timeout": "30",
        "--header": f"X-Landfall-User: {DEMO_USER_ID}",
        "--warnings": "off",
    }

    ended = subprocess.run(
        [
            *command,
            f"http://127.0.0.1:{api_alone.port}/openapi.json",
            "--continue-on-failure",
            *(f"{name}={value}" for name, value in options.items()),
        ],
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks"},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-2000:]
