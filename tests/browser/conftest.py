"""A real Chromium, both generations of Uppy from npm, and a running stack for them to talk to."""

import functools
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from dev.environments import ensure_environment
from tests.support import npm, stacks
from tests.support.browser import Browser, open_browser
from tests.support.lacking import ceph_variables, minio_program
from tests.support.stacks import Stack

HERE = Path(__file__).parent
_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
_ESBUILD = ("--bundle", "--format=iife", "--minify", "--target=es2022", "--define:process.env.NODE_ENV='production'")


@pytest.fixture(scope="session")
def local_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole local stack: S3, queue, delivery, database and API."""
    with stacks.local(tmp_path_factory.mktemp("browser-stack")) as running:
        yield running


@pytest.fixture(scope="session")
def minio_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The same on MinIO, whose answers to browsers (CORS) are its own."""
    with stacks.minio(tmp_path_factory.mktemp("browser-minio"), minio_program()) as running:
        yield running


@pytest.fixture(scope="session")
def ceph_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The same on Ceph, whose bucket was told what browsers may do."""
    with stacks.ceph(tmp_path_factory.mktemp("browser-ceph"), ceph_variables()) as running:
        yield running


@pytest.fixture
def stack(request: pytest.FixtureRequest) -> Stack:
    """The stack that a test asks for, "local", "minio" or "ceph"; if it doesn't, the local one. All stay up to the end."""
    kind = getattr(request, "param", "local")
    return cast(Stack, request.getfixturevalue(f"{kind}_stack"))


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
    with open_browser(browser_python, chromium) as browser:
        yield browser


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
