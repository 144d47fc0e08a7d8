"""The AWS emulator ``ministack``, bound to the loopback interface, its state on disk."""

import os
import urllib.error
import urllib.request
from pathlib import Path

from dev.configuration import HOST, REGION
from dev.environments import Environment, ensure_environment
from dev.processes import Child

ENVIRONMENT = Environment("emulator", "The AWS emulator")
# Disk space that uploads must leave free: Postgres, usually on the same disk, needs some to record them.
DISK_RESERVE_BYTES = 128 * 1024**2
_APPLICATION = Path(__file__).with_name("emulator_app.py")
# Straight to the loopback interface, whatever proxy the developer's company wants for the rest.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Emulator:
    """One emulator: objects and state in ``home/emulator``, its log in ``home/logs``.

    It writes its state (stacks, queues, bucket options) when it is stopped in order, and objects at once.
    """

    def __init__(self, home: Path, port: int, reserve_bytes: int = DISK_RESERVE_BYTES) -> None:
        """``reserve_bytes``: uploads that would leave less of the disk free are refused."""
        self.home, self.port, self._reserve_bytes = home, port, reserve_bytes
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
        python = emulator_environment(self.home)
        (self.home / "emulator" / "tmp").mkdir(parents=True, exist_ok=True)
        self._child.start([str(python), "-I", str(_APPLICATION)], self._environment())

    def wait_until_ready(self) -> None:
        """Raises:
        StackProblem: it ended, or took too long.
        """
        self._child.wait_until(self._is_ready)

    def stop(self) -> None:
        """Stop in order, so that the state is written. Harmless if it is not running."""
        self._child.stop()

    def kill(self) -> None:
        """Kill it (SIGKILL): what is not on disk is lost, including queued messages."""
        self._child.kill()

    def _environment(self) -> dict[str, str]:
        """A short environment, because dozens of variables change what the emulator does."""
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
            "LANDFALL_DISK_RESERVE_BYTES": str(self._reserve_bytes),
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


def emulator_environment(home: Path) -> Path:
    """Make the emulator's virtual environment, once for a checkout, and return its Python. ``home`` gets the log."""
    return ensure_environment(ENVIRONMENT, home / "logs")
