"""``make audit`` and ``make repair``: what they print, and how they end."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from chalicelib.db.engine import create_catalog_engine
from chalicelib.services.upkeep import schema
from dev.configuration import PROJECT
from dev.stack import Stack
from tests.support.aws import make_bucket, s3_client

BUCKET = "audit-command"


@pytest.fixture
def s3(stack: Stack) -> Any:
    s3 = s3_client(stack.emulator.url)
    make_bucket(s3, BUCKET, versioned=True)
    engine = create_catalog_engine(stack.postgres.url)
    schema.migrate(engine, with_demo_user=True)
    engine.dispose()
    return s3


def audit(stack: Stack, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "LANDFALL_HOME": str(home),
        "LANDFALL_EMULATOR_PORT": stack.emulator.url.rsplit(":", 1)[1],
        "LANDFALL_POSTGRES_PORT": str(make_url(stack.postgres.url).port),
        "LANDFALL_BUCKET": BUCKET,
    }
    command = [sys.executable, "-m", "dev", "audit", "--grace", "0", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_an_audit_tells_what_differs_and_a_repair_puts_it_right(stack: Stack, s3: Any, tmp_path: Path) -> None:
    for name in ("a/1", "a/2", "b/1"):
        s3.put_object(Bucket=BUCKET, Key=name, Body=b"1")

    found = audit(stack, tmp_path)
    assert found.returncode == 1, found.stderr
    assert f"{BUCKET}: 3 versions compared" in found.stdout
    assert "missing: 'a/1'" in found.stdout

    some = audit(stack, tmp_path, "--prefix", "a/", "--json", "--repair")
    assert some.returncode == 0, some.stderr
    report = json.loads(some.stdout)
    assert (report["state"], report["compared"], report["missing"], report["recorded"]) == ("done", 2, 2, 2)

    assert audit(stack, tmp_path, "--repair").returncode == 0
    right = audit(stack, tmp_path)
    assert (right.returncode, right.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [("--brake", "2"), ("--grace", "-1")])
def test_what_makes_no_sense_is_one_sentence(stack: Stack, tmp_path: Path, arguments: tuple[str, str]) -> None:
    refused = audit(stack, tmp_path, *arguments)
    assert refused.returncode == 1
    assert refused.stderr.startswith("landfall: BRAKE is a share from 0 to 1")
    assert "Traceback" not in refused.stderr


def test_with_no_stack_it_says_so(tmp_path: Path) -> None:
    # CEPH_ENDPOINT and its like, which CI sets, name a store that is up: that is a stack, too.
    environment = {
        name: text for name, text in os.environ.items() if not name.startswith("LANDFALL_") and "ENDPOINT" not in name
    }
    command = [sys.executable, "-m", "dev", "audit"]
    run = subprocess.run(
        command,
        cwd=PROJECT,
        env=environment | {"LANDFALL_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.startswith("landfall: No stack is running in")
