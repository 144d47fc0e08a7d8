"""Programs that no package index has: tests that need one are skipped where it isn't, and say so.

In CI (``LANDFALL_TEST_ALL``) a skipped test is a failure, unless CI has said itself that it lacks the program:
``LANDFALL_TEST_WITHOUT="minio compose"``.
"""

import os
import shutil
import subprocess

import pytest


class Lacking(pytest.skip.Exception):
    """Skips a test because this machine has no ``what``."""

    __module__ = "builtins"  # as pytest does with its own, so that the reason stands there without a module's name

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(reason)
        self.what = what

    @property
    def is_announced(self) -> bool:
        """Whether whoever runs the tests knows that ``what`` is not here."""
        return self.what in os.environ.get("LANDFALL_TEST_WITHOUT", "").split()


def minio_program() -> str:
    """MinIO's program: what ``LANDFALL_TEST_MINIO`` names, or ``minio`` on the path."""
    named = os.environ.get("LANDFALL_TEST_MINIO")
    found = shutil.which(named or "minio")
    assert found or not named, f"LANDFALL_TEST_MINIO is {named}, where there is no program"
    if found is None:
        raise Lacking("minio", "there is no MinIO here: LANDFALL_TEST_MINIO names its program, or it is on the path")
    return found


def ceph_variables() -> dict[str, str]:
    """The environment of ``make run STACK=ceph``: where a cluster is up, and the keys of a user of it."""
    names = ("CEPH_ENDPOINT", "CEPH_ACCESS_KEY", "CEPH_SECRET_KEY")
    if not all(os.environ.get(name) for name in names):
        raise Lacking("ceph", f"no cluster is named by {', '.join(names)}; .ci/ceph starts one")
    return {name: os.environ[name] for name in names}


def require_compose() -> None:
    """Skip the test where ``docker compose`` is not installed. No daemon needs to run."""
    has_docker = shutil.which("docker") is not None
    if not has_docker or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0:
        raise Lacking("compose", "`docker compose` is not here")
