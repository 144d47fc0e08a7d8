"""``make audit INVENTORY=`` and ``make repair INVENTORY=``: CSV and Parquet, and what is told if it can't be read."""

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
from tests.support.inventories import InventoryMaker

BUCKET = "inventory-command"


@pytest.fixture(scope="module")
def s3(stack: Stack) -> Any:
    s3 = s3_client(stack.emulator.url)
    make_bucket(s3, BUCKET, versioned=True)
    make_bucket(s3, f"{BUCKET}-lists")
    engine = create_catalog_engine(stack.postgres.url)
    schema.migrate(engine, with_demo_user=True)
    engine.dispose()
    return s3


def audit(stack: Stack, home: Path, inventory: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "LANDFALL_HOME": str(home),
        "LANDFALL_EMULATOR_PORT": stack.emulator.url.rsplit(":", 1)[1],
        "LANDFALL_POSTGRES_PORT": str(make_url(stack.postgres.url).port),
        "LANDFALL_BUCKET": BUCKET,
    }
    command = [sys.executable, "-m", "dev", "audit", "--grace", "0", "--inventory", inventory, *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("form", ["CSV", "Parquet"])
def test_an_audit_tells_what_differs_and_a_repair_puts_it_right(
    stack: Stack, s3: Any, tmp_path: Path, form: str
) -> None:
    prefix = f"{form} +%/"
    for name in ("a", "b"):
        s3.put_object(Bucket=BUCKET, Key=prefix + name, Body=b"1")
    url = "s3://" + "/".join(InventoryMaker(s3, BUCKET, form).put())

    found = audit(stack, tmp_path, url, "--prefix", prefix)
    assert found.returncode == 1, found.stderr
    assert "2 versions compared" in found.stdout
    assert f"missing: {prefix + 'a'!r}" in found.stdout

    repaired = audit(stack, tmp_path, url, "--prefix", prefix, "--repair", "--json")
    assert repaired.returncode == 0, repaired.stderr
    report = json.loads(repaired.stdout)
    assert (report["state"], report["inventory"], report["compared"], report["recorded"]) == ("done", url, 2, 2)
    assert audit(stack, tmp_path, url, "--prefix", prefix).returncode == 0


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [
        ({"sourceBucket": "another"}, "is an inventory of 'another'"),
        ({"fileFormat": "ORC"}, "is written as ORC"),
        ({"files": [{"key": "gone.csv.gz", "size": 1, "MD5checksum": "0" * 32}]}, "There is no s3://inventory-command-lists/gone"),
    ],
)  # fmt: skip
def test_an_inventory_that_cannot_be_read_is_one_sentence(
    stack: Stack, s3: Any, tmp_path: Path, manifest: dict[str, Any], problem: str
) -> None:
    refused = audit(stack, tmp_path, "s3://" + "/".join(InventoryMaker(s3, BUCKET).put(**manifest)), "--repair")
    assert refused.returncode == 1
    assert refused.stderr.startswith("landfall: ")
    assert problem in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert refused.stdout == ""


@pytest.mark.parametrize("url", ["manifest.json", "s3://bucket", "https://bucket/manifest.json", "s3:///manifest.json"])
def test_what_is_no_address_of_a_manifest_is_told(stack: Stack, tmp_path: Path, url: str) -> None:
    refused = audit(stack, tmp_path, url)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "landfall: INVENTORY is the address of a manifest: s3://BUCKET/…/manifest.json\n"
