"""Child processes: each with a log, a record on disk, and no way to outlive the stack."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from dev.configuration import PROJECT
from dev.problem import StackProblem
from dev.stopping import obey

_GUARD = Path(__file__).with_name("guard.py")


class Child:
    """A program that runs until it is stopped, or until the process that started it dies."""

    def __init__(self, name: str, home: Path, stop_signal: signal.Signals = signal.SIGTERM) -> None:
        """``home`` is the instance's folder: the log goes to ``logs/``, the record of the process to ``run/``."""
        self.name = name
        self.log = home / "logs" / f"{name}.log"
        self._record = home / "run" / f"{name}.json"
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: list[str], environment: Mapping[str, str], user: str | None = None) -> None:
        """Start ``command`` in a session of its own: a Ctrl-C in the terminal reaches only us, and we stop all in order."""
        for folder in (self.log.parent, self._record.parent):
            folder.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        guard = [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), str(int(self._stop_signal)), user or "-"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*guard, *command],
                cwd=PROJECT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._record.write_text(json.dumps(_identity(self._process.pid)))

    @property
    def pid(self) -> int:
        """Raises:
        StackProblem: it was never started.
        """
        if self._process is None:
            raise StackProblem(f"The {self.name} process was not started.")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def require_running(self) -> None:
        """Raises:
        StackProblem: it ended by itself; the message holds the end of its log.
        """
        if self._process is not None and (code := self._process.poll()) is not None:
            reason = f"was killed by signal {-code}" if code < 0 else f"stopped with exit code {code}"
            raise StackProblem(f"The {self.name} process {reason}; {log_ending(self.log)}")

    def wait_until(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for ``condition``, for as long as the process lives.

        Raises:
            StackProblem: it ended by itself, or took longer than ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            obey()
            self.require_running()
            if time.monotonic() > deadline:
                raise StackProblem(f"The {self.name} process was not ready in {seconds:.0f} s; {log_ending(self.log)}")
            time.sleep(0.03)

    def wait_for_success(self, seconds: float = 120) -> None:
        """Wait for a program that does one thing and ends.

        Raises:
            StackProblem: it failed, or took longer than ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while self.is_running and time.monotonic() < deadline:
            obey()
            time.sleep(0.03)
        if self._process is None or self._process.poll() != 0:
            self.require_running()
            raise StackProblem(f"The {self.name} process took longer than {seconds:.0f} s; {log_ending(self.log)}")

    def ask_to_stop(self) -> None:
        """Send the signal that stops it nicely, and don't wait."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self._stop_signal)

    def stop(self, seconds: float = 4) -> None:
        """Stop it, first nicely, then by force. Harmless if it is not running."""
        self.ask_to_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._process is not None:
                self._process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """Kill it and everything it started, at once, as a power cut would."""
        if self._process is not None:
            if self._process.poll() is None:
                kill_tree(psutil.Process(self._process.pid))
            self._process.wait()
        self._record.unlink(missing_ok=True)
        self._process = None


def run_to_end(command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
    """Like `subprocess.run`, but the program ends when we are asked to stop. It gets no input.

    ``options`` are those of ``Popen``. The program runs in a session of its own: if a Ctrl-C in the terminal ended it,
    that would look like a failure.
    """
    options = {"stdin": subprocess.DEVNULL, "text": True, "start_new_session": True} | options
    with subprocess.Popen(command, **options) as process:
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    output, errors = process.communicate(timeout=0.1)
                    return subprocess.CompletedProcess(command, process.returncode, output, errors)
                obey()
        except BaseException:
            if process.poll() is None:
                kill_tree(psutil.Process(process.pid))
            raise


def kill_tree(process: psutil.Process) -> None:
    """SIGKILL ``process`` and its descendants, and wait until they are gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [process, *process.children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=5)


def stop_leftovers(home: Path, seconds: float = 5) -> list[str]:
    """End what a killed supervisor of this folder has left behind; returns the names of the processes that still ran.

    A record holds the time when the process began, so another process that got the same id is left alone.
    """
    found = {path: process for path in home.glob("run/*.json") if (process := _recorded(path))}
    for process in found.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(found.values(), timeout=seconds)
    for process in stubborn:
        kill_tree(process)
    for path in home.glob("run/*.json"):
        path.unlink(missing_ok=True)
    return [path.stem for path in found]


def log_ending(log: Path, lines: int = 8) -> str:
    """The end of a log, worded as the end of a sentence."""
    try:
        ending = log.read_text(errors="replace").rstrip().splitlines()[-lines:]
    except OSError:
        ending = []
    if not ending:
        return f"its log {log} is empty."
    return f"the last lines of {log} are:\n" + "\n".join(f"    {line}" for line in ending)


def stop_all(children: Iterable[Child]) -> None:
    """Stop several at the same time."""
    children = list(children)
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.stop()


def _identity(pid: int) -> dict[str, float]:
    try:
        return {"pid": pid, "began": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:
        return {"pid": pid, "began": 0}


def _recorded(record: Path) -> psutil.Process | None:
    try:
        known = json.loads(record.read_text())
        process = psutil.Process(int(known["pid"]))
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process if abs(process.create_time() - known["began"]) < 1 else None
    except (OSError, ValueError, KeyError, psutil.Error):
        return None
