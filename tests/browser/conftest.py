"""A real Chromium, both generations of Uppy from npm, and a running stack for them to talk to."""

import functools
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dev.environments import ensure_environment
from tests import npm
from tests.e2e import worlds
from tests.e2e.stack import Stack

HERE = Path(__file__).parent
_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
_ESBUILD = ("--bundle", "--format=iife", "--minify", "--target=es2022", "--define:process.env.NODE_ENV='production'")


class Browser:
    """A page in Chromium: see `tests/browser/driver.py`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __call__(self, do: str, **values: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": do, **values}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def evaluate(self, code: str, value: Any = None) -> Any:
        return self("evaluate", code=code, value=value)

    def wait(self, code: str, seconds: float = 60) -> None:
        self("wait", code=code, seconds=seconds)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole local stack: S3, queue, delivery, database and API."""
    with worlds.local(tmp_path_factory.mktemp("browser-stack")) as running:
        yield running


@pytest.fixture(scope="session")
def browser_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with playwright and Node."""
    return ensure_environment(npm.TOOLS, tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="session")
def browser(browser_python: Path) -> Iterator[Browser]:
    """A Chromium of the system's."""
    chromium = next(filter(None, map(shutil.which, _CHROMIUMS)), None)
    if chromium is None:
        pytest.skip("there is no Chromium here (Debian and Ubuntu: apt install chromium)")
    command = [str(browser_python), str(HERE / "driver.py"), chromium]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Browser(process)
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def page_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page with both Uppys is served: another origin than the API's and S3's."""
    folder, logs = tmp_path_factory.mktemp("page"), tmp_path_factory.mktemp("logs")
    shutil.copy(HERE / "page.html", folder / "index.html")
    for version in ("5", "6"):
        shutil.copy(_bundle(version, logs), folder / f"uppy{version}.js")
    handler = functools.partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def _bundle(version: str, logs: Path) -> Path:
    """Uppy with its plugins in one file, from npm by the lockfile beside."""
    packages = npm.install(HERE / f"uppy{version}", logs)
    bundle = packages.folder / "bundle.js"
    if not bundle.exists():
        made = packages.run(
            "esbuild",
            "entry.js",
            *_ESBUILD,
            f"--global-name=Uppy{version}",
            "--outfile=unfinished.js",
            "--log-level=warning",
        )
        assert made.returncode == 0, made.stderr
        (packages.folder / "unfinished.js").rename(bundle)
    return bundle
