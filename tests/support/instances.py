"""Instances of the local stack as a developer starts them, each in a folder and on ports of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import urllib3

from dev.configuration import PROJECT
from tests.support.ports import free_ports


def stack_ports() -> dict[str, str]:
    """Free ports for all parts of a stack, by the variables that set them."""
    names = ("POSTGRES", "EMULATOR", "API")
    return {f"LANDFALL_{name}_PORT": str(port) for name, port in zip(names, free_ports(len(names)), strict=True)}


class Instance:
    """One `python -m dev` process and what it says."""

    def __init__(self, home: Path, command: str = "services", **environment: str) -> None:
        self.home = home
        self.environment = stack_ports() | {"LANDFALL_HOME": str(home)} | environment
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

    def get(self, path: str) -> Any:
        """What its API answers."""
        answer = urllib3.request("GET", self.url("API") + path)
        assert answer.status == 200, answer.data
        return json.loads(answer.data)

    def catalogue(self) -> dict[str, tuple[str, int, str]]:
        """Version id, size and ETag of every stored file by its key."""
        items = self.get("/api/files?" + urlencode({"limit": 1000}))["items"]
        found = {item["key"]: (item["version_id"], item["size"], item["etag"]) for item in items}
        assert len(found) == len(items), "a key is there twice"
        return found

    def changes(self, key: str) -> list[str]:
        """What the events in the history of a file say happened."""
        (item,) = self.get("/api/files?" + urlencode({"key": key}))["items"]
        return [event["change"] for event in self.get(f"/api/files/{item['id']}/events")["items"]]

    def wait_until_up(self) -> "Instance":
        deadline = time.monotonic() + 60
        while "Landfall is up" not in self.output:
            assert self.process.poll() is None, self.errors
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)
        return self

    def wait_for(self, path: Path) -> None:
        """Wait until there is something at ``path``."""
        deadline = time.monotonic() + 60
        while not path.exists():
            assert self.process.poll() is None, self.errors
            assert time.monotonic() < deadline, self.output
            time.sleep(0.01)

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


# Starts an instance that is ended after the test; see the fixture `new_instance`.
NewInstance = Callable[..., Instance]
