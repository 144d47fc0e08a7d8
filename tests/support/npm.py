"""Packages from npm, by a lockfile that lies beside the tests that need them."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dev.configuration import PROJECT
from dev.environments import Environment, ensure_environment

# Node, npm, and what drives a browser.
TOOLS = Environment("browser", "What drives the browser")


class Packages:
    """A copy of a folder with ``package.json`` and ``package-lock.json``, in which its packages are installed."""

    def __init__(self, folder: Path, node: Path) -> None:
        self.folder, self._node = folder, node

    def run(self, program: str, *arguments: str, below: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a program of the packages, ``npm`` or ``node``, in the folder or below; returns however it ends."""
        own = program in ("npm", "node")
        path = self._node / program if own else self.folder / "node_modules" / ".bin" / program
        environment = os.environ | {"PATH": f"{self._node}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.run(
            [path, *arguments],
            cwd=self.folder / below,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )


def install(source: Path, logs: Path) -> Packages:
    """Install what the lockfile in ``source`` names; made once for each state of that folder.

    Where no npm registry answers, the test that asks is skipped, and says so.
    """
    files = sorted(path for path in source.rglob("*") if path.is_file())
    content = b"".join(str(path.relative_to(source)).encode() + path.read_bytes() for path in files)
    fingerprint = hashlib.sha256(content).hexdigest()[:16]
    packages = Packages(
        PROJECT / ".landfall" / "npm" / f"{source.name}-{fingerprint}", ensure_environment(TOOLS, logs).parent
    )
    stamp = packages.folder / "landfall-stamp"
    if not stamp.exists():
        shutil.rmtree(packages.folder, ignore_errors=True)
        shutil.copytree(source, packages.folder)
        result = packages.run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1")
        if result.returncode != 0:
            _require_registry(packages)
            raise AssertionError(f"npm could not install {source}: {result.stderr}")
        stamp.touch()
    return packages


def _require_registry(packages: Packages) -> None:
    ping = packages.run("npm", "ping", "--loglevel=error", "--fetch-retries=0")
    if ping.returncode != 0:
        reason = next((line for line in ping.stderr.splitlines() if "error" in line), "npm ping failed")
        pytest.skip(f"no npm registry answers ({reason})")
