"""What a user waits for: from a put to the row in the list, and from a fresh clone to the first file in it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import urllib3

from bench.figures import Figure
from dev.configuration import PROJECT
from dev.infra import client
from dev.ports import free_port

PUTS = 50
_PATIENCE_SECONDS = 300


def run() -> Iterator[Figure]:
    """Clone what is committed, `make run` it, put a file; then put more."""
    ports = {name: str(free_port()) for name in ("API", "EMULATOR", "POSTGRES")}
    api = f"http://127.0.0.1:{ports['API']}"
    start = time.monotonic()
    with _clone_running(ports):
        _until(lambda: _answers(f"{api}/ready"))
        s3 = client("s3", f"http://127.0.0.1:{ports['EMULATOR']}", s3={"addressing_style": "path"})
        _land(s3, api, "first file")
        yield Figure(
            "Local stack", "git clone to first file in the list", f"{time.monotonic() - start:.0f} s", aim="< 90 s"
        )
        waits = [_land(s3, api, f"file {number}") for number in range(PUTS)]
        slowest = quantiles(waits, n=20)[-1]
        yield Figure(
            "Local stack",
            "put to row in GET /api/files: p50, p95",
            f"{median(waits) * 1000:.0f} ms, {slowest * 1000:.0f} ms",
            aim="about 1 s",
        )


@contextmanager
def _clone_running(ports: dict[str, str]) -> Iterator[Path]:
    own = ("LANDFALL_", "AWS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    environment |= {f"LANDFALL_{name}_PORT": port for name, port in ports.items()}
    with TemporaryDirectory(prefix="landfall-clone-") as folder:
        Path(folder).chmod(0o755)
        clone = Path(folder) / "landfall"
        subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(clone)], check=True)
        with Path(folder, "run.log").open("wb") as log:
            process = subprocess.Popen(
                ["make", "run"], cwd=clone, env=environment, stdout=log, stderr=log, process_group=0
            )
        try:
            yield clone
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(20)


def _land(s3: object, api: str, key: str) -> float:
    """Seconds from the put's answer to the first list that has the file."""
    s3.put_object(Bucket="landfall-local", Key=key, Body=key.encode())  # type: ignore[attr-defined]
    start = time.monotonic()
    _until(
        lambda: len(urllib3.request("GET", f"{api}/api/files", fields={"key": key}).json()["items"]) == 1, pause=0.005
    )
    return time.monotonic() - start


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=2).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _until(condition: Callable[[], bool], pause: float = 0.2) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not after {_PATIENCE_SECONDS} s")
        time.sleep(pause)
