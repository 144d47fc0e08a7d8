"""LocalStack 4.14 without Docker, for tests: its runtime in an environment of its own, under Python 3.13."""

import json
import os
import shutil
import subprocess
import urllib.request
from glob import glob
from pathlib import Path

from dev.configuration import HOST
from dev.environments import Environment, ensure_environment
from dev.processes import Child

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def find_python() -> str | None:
    """A Python 3.13: LocalStack 4.14 starts under older ones, and then fails at the first bucket."""
    candidates = ["python3.13", *sorted(glob(str(Path.home() / ".pyenv/versions/3.13*/bin/python")))]
    for candidate in filter(None, map(shutil.which, candidates)):
        # pyenv puts shims on the path also for versions that are not switched on; those fail.
        answer = subprocess.run([candidate, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True)
        if answer.stdout.strip() == b"(3, 13)":
            return candidate
    return None


class LocalStack:
    """One LocalStack with S3, SQS and CloudFormation. It keeps nothing when it ends."""

    def __init__(self, home: Path, port: int, python: str) -> None:
        self.home, self.port = home, port
        self._environment = Environment("localstack", "LocalStack", python)
        self._child = Child("localstack", home)

    @property
    def url(self) -> str:
        """The AWS endpoint."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Start, and return when it answers.

        Raises:
            StackProblem: it could not be installed, or did not start.
        """
        python = ensure_environment(self._environment, self.home / "logs")
        folder = self.home / "localstack"
        folder.mkdir(parents=True, exist_ok=True)
        variables = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            # Otherwise it takes any container for its own, and looks for folders of its image.
            "OVERRIDE_IN_DOCKER": "0",
            "FILESYSTEM_ROOT": str(folder),
            # It ignores an IPv4 address and listens on all interfaces, but heeds the same address written as IPv6.
            "GATEWAY_LISTEN": f"[::ffff:{HOST}]:{self.port}",
            "SERVICES": "s3,sqs,cloudformation,sts",
            "DNS_ADDRESS": "0",
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "ACTIVATE_PRO": "0",
            "S3_SKIP_SIGNATURE_VALIDATION": "0",
        }
        self._child.start([str(python), "-m", "localstack.runtime.main"], variables)
        self._child.wait_until(self._is_ready)

    def stop(self) -> None:
        """Stop. Harmless if it is not running."""
        self._child.stop()

    def _is_ready(self) -> bool:
        try:
            with _OPENER.open(f"{self.url}/_localstack/health", timeout=2) as answer:
                return "s3" in json.load(answer)["services"]
        except (OSError, ValueError, KeyError):
            return False
