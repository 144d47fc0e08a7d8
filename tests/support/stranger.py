"""A machine of somebody who has never seen Landfall: a clean clone, and the environment of a fresh login."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil

from dev.configuration import API_PORT_VARIABLE, EMULATOR_PORT_VARIABLE, POSTGRES_PORT_VARIABLE, PROJECT, Configuration

USUAL_PORTS = {
    API_PORT_VARIABLE: Configuration.api_port,
    EMULATOR_PORT_VARIABLE: Configuration.emulator_port,
    POSTGRES_PORT_VARIABLE: Configuration.postgres_port,
}
# What a company's network needs is there after a login; nothing else of ours is.
_OF_THE_NETWORK = (
    *(
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "PIP_CERT",
        "AWS_CA_BUNDLE",
    ),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
_LOGIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Stranger:
    """Types commands into shells, in a clone of its own."""

    def __init__(self, folder: Path, ports: dict[str, int], tools: Path) -> None:
        """``ports`` are the stack's by the variables that set them; ``tools`` is a folder of its programs."""
        self.clone, self._ports = folder / "landfall", ports
        account = pwd.getpwuid(os.geteuid())
        self.environment = {
            "HOME": account.pw_dir,
            "USER": account.pw_name,
            "LOGNAME": account.pw_name,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "PATH": f"{tools}:{_LOGIN_PATH}",
            **{name: value for name in _OF_THE_NETWORK if (value := os.environ.get(name))},
            **{name: str(port) for name, port in ports.items()},
        }
        _copy_checkout(self.clone)

    def run(self, script: str, seconds: float = 300, **more: str) -> str:
        """Run a script as it stands, in which any command that fails ends it; returns what it printed.

        An answer of 400 or more counts as a failure of ``curl``, for which that is a success.
        """
        strict = f'curl() {{ command curl --fail-with-body -sS "$@"; }}\nset -e -o pipefail\n{script}'
        result = subprocess.run(
            ["bash", "-c", strict],
            cwd=self.clone,
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
        assert result.returncode == 0, f"{script}\n{result.stdout}"
        return result.stdout

    def keys(self, prefix: str) -> set[str]:
        """The keys of the files below a prefix, asked of the API."""
        # `chalice local` by hand may restart once more at its first start: see `watch_sources_only`.
        patient = "curl --retry 5 --retry-all-errors --retry-delay 1"
        answer = self.run(f"{patient} 'http://localhost:{self._ports[API_PORT_VARIABLE]}/api/files?prefix={prefix}'")
        return {item["key"] for item in json.loads(answer)["items"]}

    def start(self, command: str) -> "Terminal":
        """Start a command in a terminal of its own."""
        return Terminal(command, self.clone, self.environment)


class Terminal:
    """A command that goes on until Ctrl-C."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        self._log = folder.with_name(f"{folder.name}-{command.replace(' ', '-').replace('/', '-')}.out")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def wait_for(self, text: str, seconds: float = 400) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert self._process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.2)

    def press_ctrl_c(self) -> None:
        """The terminal sends SIGINT to everything in the foreground. Afterwards nothing is left of it."""
        if self._process.poll() is None:
            family = psutil.Process(self._process.pid).children(recursive=True)
            os.killpg(self._process.pid, signal.SIGINT)
            self._process.wait(30)
            _, left = psutil.wait_procs(family, timeout=10)
            assert not left, left


def _copy_checkout(clone: Path) -> None:
    """What git would clone, were all changes committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (source := PROJECT / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, clone / name)
