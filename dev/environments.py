"""Virtual environments of tools whose pins are at odds with ours."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dev.configuration import PROJECT
from dev.problem import StackProblem
from dev.processes import log_ending, run_to_end
from dev.stopping import obey


@dataclass(frozen=True)
class Environment:
    """The virtual environment ``.landfall/{name}-venv`` with what ``dev/{name}-requirements.txt`` lists.

    Attributes:
        what: its name in error messages.
        python: the interpreter that it needs; None for this one.
    """

    name: str
    what: str
    python: str | None = None

    @property
    def requirements(self) -> Path:
        return Path(__file__).with_name(f"{self.name}-requirements.txt")

    @property
    def folder(self) -> Path:
        """Where the environment is; ``LANDFALL_{NAME}_VENV`` names another folder."""
        named = os.environ.get(f"LANDFALL_{self.name.upper()}_VENV")
        return Path(named) if named else PROJECT / ".landfall" / f"{self.name}-venv"


def ensure_environment(environment: Environment, logs: Path) -> Path:
    """Make a virtual environment, once for a checkout, and return its Python. Several processes may ask at a time.

    Raises:
        StackProblem: pip could not install it.
    """
    folder, wanted = environment.folder, _fingerprint(environment)
    stamp, python = folder / "landfall-stamp", folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        _wait_for(lock)
        if not (stamp.exists() and stamp.read_text() == wanted and python.exists()):
            shutil.rmtree(folder, ignore_errors=True)
            _install(environment, python, logs / f"{environment.name}-install.log")
            stamp.write_text(wanted)
    return python


def _wait_for(lock: IO[str]) -> None:
    """Wait until no other process installs it."""
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            obey()
            time.sleep(0.1)


def _fingerprint(environment: Environment) -> str:
    interpreter = environment.python or f"{sys.version}{sys.prefix}"
    return hashlib.sha256(interpreter.encode() + environment.requirements.read_bytes()).hexdigest()


def _install(environment: Environment, python: Path, log: Path) -> None:
    """Make the environment without a pip of its own: ours installs into it, which saves seconds and keeps it bare.

    Another interpreter gets its own pip, because ours may be too old to run on it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    # Each of these would have pip put packages elsewhere, or think that they are there already.
    misleading = ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX")
    variables = {name: value for name, value in os.environ.items() if name not in misleading}
    if environment.python is None:
        venv, pip = (
            [sys.executable, "-m", "venv", "--without-pip"],
            [sys.executable, "-m", "pip", "--python", str(python)],
        )
    else:
        venv, pip = [environment.python, "-m", "venv"], [str(python), "-m", "pip"]
    install = [*pip, "install", "--quiet", "--requirement", str(environment.requirements)]
    for command in ([*venv, str(environment.folder)], install):
        with log.open("ab") as output:
            result = run_to_end(command, env=variables, stdout=output, stderr=subprocess.STDOUT)
        if result.returncode != 0:
            raise StackProblem(f"{environment.what} could not be installed by pip; {log_ending(log)}")
