"""Real instances of the local stack, each in a folder and on ports of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from dev.configuration import PROJECT
from dev.ports import free_port
from dev.stack import Stack, ephemeral_stack

# As in a terminal, also where the tests themselves were started by `nohup`, which every child would inherit.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Instance:
    """One `python -m dev` process and what it says."""

    def __init__(self, home: Path, command: str = "services", **environment: str) -> None:
        self.home = home
        ports = {f"LANDFALL_{name}_PORT": str(free_port()) for name in ("POSTGRES", "EMULATOR", "API")}
        self.environment = ports | {"LANDFALL_HOME": str(home)} | environment
        self._output, self._errors = home.with_name(f"{home.name}.out"), home.with_name(f"{home.name}.err")
        with self._output.open("w") as output, self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dev", command],
                cwd=PROJECT,
                env=os.environ | self.environment,
                stdout=output,
                stderr=errors,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.environment[f'LANDFALL_{service}_PORT']}"

    def wait_until_up(self) -> "Instance":
        deadline = time.monotonic() + 60
        while "Landfall is up" not in self.output:
            assert self.process.poll() is None, self.errors
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)
        return self

    def end(self, number: signal.Signals = signal.SIGINT) -> float:
        """Send a signal and wait for the end; how many seconds that took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        return time.monotonic() - began

    def remains(self) -> list[str]:
        """Processes that work in this instance's folder."""
        return [line for process in psutil.process_iter() if str(self.home) in (line := _traces(process))]


def _traces(process: psutil.Process) -> str:
    try:
        environment = process.environ() if "python" in process.name() else {}
        return " ".join([*process.cmdline(), environment.get("LANDFALL_HOME", ""), environment.get("HOME", "")])
    except psutil.Error:
        return ""


@pytest.fixture
def new_instance(tmp_path: Path) -> Iterator[Callable[..., Instance]]:
    """Starts an instance; without a ``home`` in a folder of the test's own. All are ended after the test."""
    instances: list[Instance] = []

    def start(home: Path | None = None, command: str = "services", **environment: str) -> Instance:
        instances.append(Instance(home or tmp_path / "home", command, **environment))
        return instances[-1]

    yield start
    for instance in instances:
        if instance.process.poll() is None:
            instance.end()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A throw-away stack that the tests of a module share."""
    with ephemeral_stack(tmp_path_factory.mktemp("stack"), visibility_seconds=1) as stack:
        yield stack
