"""``requirements.lock``: the hash of every wheel that a package may hold, for both architectures and each Python.

``python -m deploy lock`` writes it, after ``requirements.txt`` was changed.
"""

import re
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from deploy.packaging import LOCK, digest, fetch_wheels
from deploy.template import PROJECT

REQUIREMENTS = PROJECT / "requirements.txt"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
_HEADER = "# Made by `python -m deploy lock` from requirements.txt. What is packaged must have one of these hashes.\n"


def write_lock() -> None:
    """Fetch all wheels and write their hashes.

    Raises:
        DeployProblem: a package has no wheel for some Python or architecture.
    """
    hashes: dict[str, set[str]] = defaultdict(set)
    with TemporaryDirectory() as folder:
        for python in PYTHONS:
            for architecture in ("arm64", "x86_64"):
                fetch_wheels(Path(folder), REQUIREMENTS, architecture, f"--python-version={python}")
        for wheel in Path(folder).glob("*.whl"):
            hashes[canonical(wheel.name.split("-")[0])].add(digest(wheel))
    entries = [
        " \\\n    ".join([f"{name}=={version}", *(f"--hash=sha256:{value}" for value in sorted(hashes[name]))])
        for name, version in pins(REQUIREMENTS).items()
    ]
    LOCK.write_text(_HEADER + "\n".join(entries) + "\n")


def pins(path: Path) -> dict[str, str]:
    """Name and version of each pinned package of a requirements file."""
    return {canonical(name): version for name, version in _PIN.findall(path.read_text())}


def canonical(name: str) -> str:
    """The name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
