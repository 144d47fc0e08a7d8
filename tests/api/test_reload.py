"""`chalice local` by hand, with its reloader: it restarts for the application's files, not for the stack's own."""

import os
import py_compile
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from dev.ports import free_port
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
RESTART = "Restarting local dev server"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what Chalice reads, which a test may change."""
    for name in ("app.py", "chalicelib", ".chalice", "vendor"):
        source, target = ROOT / name, tmp_path / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    py_compile.compile(str(tmp_path / "app.py"))  # as `make services` leaves it, whose delivery imports it
    return tmp_path


@pytest.fixture
def log(project: Path) -> Iterator[Path]:
    path, port = project.parent / f"{project.name}.log", free_port()
    chalice = Path(sys.executable).with_name("chalice")  # the reloader starts the very command again
    command = [str(chalice), "local", "--stage", "local", "--port", str(port)]
    with path.open("wb") as output:
        process = subprocess.Popen(command, cwd=project, env=os.environ, stdout=output, stderr=output, process_group=0)
    try:
        answer = urllib3.request(
            "GET", f"http://127.0.0.1:{port}/health", retries=urllib3.Retry(60, backoff_factor=0.1, backoff_max=0.5)
        )
        assert answer.status == 200
        yield path
    finally:
        os.killpg(process.pid, 15)
        process.wait(10)


def test_the_server_restarts_for_a_changed_source_but_not_for_files_of_the_stack(project: Path, log: Path) -> None:
    time.sleep(2.5)  # the watcher looks once a second
    (project / ".landfall").mkdir()
    (project / ".landfall" / "postgres.log").write_text("busy")
    time.sleep(2.5)
    assert RESTART not in log.read_text()

    with (project / "chalicelib" / "ids.py").open("a") as source:
        source.write("# changed\n")
    assert eventually(lambda: RESTART in log.read_text(), 10)
