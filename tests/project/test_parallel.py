"""Tests in several processes at once: what belongs together stays together, and what one process finds fails the run."""

import subprocess
import sys
from pathlib import Path

import pytest

from dev.configuration import PROJECT
from tests.support.parallel import group

_LEAKING = """
from tests.support.secrets import secret

def test_one_that_prints_a_secret():
    print(secret("a-password-of-nobody"))
"""


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("tests/e2e/test_landing.py::test_poison[minio]", "e2e minio"),
        ("tests/e2e/test_uploads.py::test_a_form[local-form]", "e2e local"),
        ("tests/e2e/test_uploads.py::test_a_form[deployed]", "e2e deployed"),
        ("tests/e2e/test_deployment.py::test_the_stage_is_deleted", "e2e deployed"),
        ("tests/first_use/test_stranger.py::test_the_start", "first_use"),
        ("tests/deploy/test_cli.py::test_it", "deploy"),
        ("tests/browser/test_uppy.py::test_it[ceph-uppy 5]", "tests/browser/test_uppy.py"),
        ("tests/api/test_users.py::test_it[a::b]", "tests/api/test_users.py"),
    ],
)
def test_tests_that_share_what_takes_long_to_start_are_one_group(test: str, expected: str) -> None:
    assert group(test) == expected


def test_a_secret_in_the_output_of_one_process_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_leaking.py").write_text(_LEAKING)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "--numprocesses=1",
        f"--rootdir={tmp_path}",
        "-c/dev/null",
    ]
    path = {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'vendor'}", "PATH": "/usr/bin:/bin"}
    result = subprocess.run([*command, str(tmp_path)], env=path, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout + result.stderr
    assert "secrets in logs" in result.stdout
    assert "test_one_that_prints_a_secret: a-password-o…" in result.stdout
