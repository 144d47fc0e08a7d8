"""The AWS emulator ``ministack``, bound to the loopback interface, its state on disk."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from dev.configuration import HOST, PROJECT, REGION
from dev.problem import StackProblem
from dev.processes import Child, log_ending

_REQUIREMENTS = Path(__file__).with_name("emulator-requirements.txt")
# Straight to the loopback interface, whatever proxy the developer's company wants for the rest.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Emulator:
    """One emulator: objects and state in ``home/emulator``, its log in ``home/logs``.

    It writes its state (stacks, queues, bucket options) when it is stopped in order, and objects at once.
    """

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.port = home, port
        self._child = Child("emulator", home)

    @property
    def url(self) -> str:
        """The AWS endpoint."""
        return f"http://{HOST}:{self.port}"

    @property
    def child(self) -> Child:
        return self._child

    def start(self) -> None:
        """Start, and return when it answers.

        Raises:
            StackProblem: it did not start.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start without waiting, so that other things can start meanwhile."""
        python = ensure_environment(self.home)
        (self.home / "emulator" / "tmp").mkdir(parents=True, exist_ok=True)
        self._child.start([str(python), "-m", "ministack"], self._environment())

    def wait_until_ready(self) -> None:
        """Raises:
        StackProblem: it ended, or took too long.
        """
        self._child.wait_until(self._is_ready)

    def stop(self) -> None:
        """Stop in order, so that the state is written. Harmless if it is not running."""
        self._child.stop()

    def kill(self) -> None:
        """SIGKILL: what was not on disk is lost, queued messages among it."""
        self._child.kill()

    def _environment(self) -> dict[str, str]:
        """A short one: dozens of variables change what the emulator does."""
        folder = self.home / "emulator"
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "LANG": "C.UTF-8",
            "BIND_HOST": HOST,
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_REGION": REGION,
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(folder / "objects"),
            "PERSIST_STATE": "1",
            "STATE_DIR": str(folder / "state"),
            # Both would listen on all interfaces.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
        }

    def _is_ready(self) -> bool:
        try:
            with _OPENER.open(f"{self.url}/_ministack/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def ensure_environment(home: Path) -> Path:
    """Make the emulator's virtual environment, once for a checkout, and return its Python.

    ``LANDFALL_EMULATOR_VENV`` names another place. ``home`` gets the log. Several processes may ask at a time.

    Raises:
        StackProblem: pip could not install it.
    """
    folder = Path(os.environ.get("LANDFALL_EMULATOR_VENV") or PROJECT / ".landfall" / "emulator-venv")
    stamp, wanted = folder / "landfall-stamp", _fingerprint()
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_text() == wanted and python.exists()):
            shutil.rmtree(folder, ignore_errors=True)
            _install(folder, python, home / "logs" / "emulator-install.log")
            stamp.write_text(wanted)
    return python


def _fingerprint() -> str:
    content = f"{sys.version}{sys.prefix}".encode() + _REQUIREMENTS.read_bytes()
    return hashlib.sha256(content).hexdigest()


def _install(folder: Path, python: Path, log: Path) -> None:
    """Without a pip of its own: ours installs into it, which saves seconds and keeps the environment bare."""
    log.parent.mkdir(parents=True, exist_ok=True)
    # Each would have pip put packages elsewhere, or think that they are there already.
    misleading = ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX")
    environment = {name: value for name, value in os.environ.items() if name not in misleading}
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--requirement"]
    for command in ([sys.executable, "-m", "venv", "--without-pip", str(folder)], [*pip, str(_REQUIREMENTS)]):
        with log.open("ab") as output:
            result = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        if result.returncode != 0:
            raise StackProblem(f"The AWS emulator could not be installed by pip; {log_ending(log)}")
