"""What CI builds, and what it could not install: that is skipped, and nothing else is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dev.configuration import PROJECT


@pytest.mark.parametrize(("without", "ends"), [("minio", 1), ("minio compose", 0)])
def test_in_ci_only_what_it_lacks_may_be_skipped(tmp_path: Path, without: str, ends: int) -> None:
    environment = os.environ | {"PATH": str(tmp_path), "LANDFALL_TEST_ALL": "1", "LANDFALL_TEST_WITHOUT": without}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "tests/dev/test_compose.py",
        "-k",
        "secret",
        "-p",
        "no:cacheprovider",
    ]
    result = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert result.returncode == ends, result.stdout
    assert "`docker compose` is not here" in result.stdout


def test_ci_and_the_readme_name_the_minio_of_the_compose_file() -> None:
    (release,) = re.findall(r"minio/minio:(RELEASE\S+)@", (PROJECT / "docker-compose.localstack.yml").read_text())
    assert f"minio_release={release}\n" in (PROJECT / ".ci" / "run").read_text()
    assert f"github.com/minio/minio@{release}`" in (PROJECT / "README.md").read_text()
