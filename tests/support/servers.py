"""The API as ``chalice local`` runs it: a process of its own, spoken to over real HTTP."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.configuration import PROJECT
from dev.ports import answers
from tests.support.secrets import watch_log
from tests.support.waiting import eventually


@contextmanager
def chalice_local(port: int, log: Path, environment: dict[str, str], stage: str = "local") -> Iterator[None]:
    """Run a server with these variables beside the process's own; it listens from the beginning to the end."""
    code = "from tests.support.s3_calls import note_calls; note_calls(); from chalice.cli import main; main()"
    command = [sys.executable, "-c", code, "--project-dir", str(PROJECT)]
    command += ["local", "--stage", stage, "--port", str(port), "--no-autoreload"]
    with running(command, log, environment) as process:
        assert eventually(lambda: process.poll() is not None or answers(port)), log.read_text()
        assert process.poll() is None, f"chalice local did not start:\n{log.read_text()}"
        yield


@contextmanager
def running(command: list[str], log: Path, environment: dict[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a command of the project's that goes on until it is ended here."""
    watch_log(log)
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=PROJECT, env=os.environ | environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)
