"""What CI could not install is skipped, and nothing else is."""

import os
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
