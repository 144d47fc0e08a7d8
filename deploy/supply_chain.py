"""What a package is made of, and what is known against it: a bill of materials, and the advisories for what is pinned.

Both are about `requirements.lock`: what runs in Lambda. Their tools have an environment of their own.
"""

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from deploy.packaging import LOCK
from deploy.problem import DeployProblem
from deploy.template import PROJECT
from dev.environments import Environment, ensure_environment

AUDIT_TOOLS = Environment("audit", "What audits dependencies")
ACCEPTED = PROJECT / "deploy" / "accepted-advisories.json"
_LOGS = PROJECT / ".landfall" / "logs"
# How pip-audit says that the service of advisories can't be reached. Whatever else it fails of is a mistake of ours.
_UNREACHABLE = ("connect", "connection", "timed out", "timeout", "proxy", "resolve", "max retries")


@dataclass(frozen=True)
class Advisory:
    """A known vulnerability of a package that is pinned. ``mended_in``: versions without it."""

    id: str
    aliases: tuple[str, ...]
    package: str
    version: str
    mended_in: tuple[str, ...]

    def __str__(self) -> str:
        mend = f"; mended in {', '.join(self.mended_in)}" if self.mended_in else ""
        return f"{self.package} {self.version}: {self.id}{mend}"


def write_sbom(path: Path) -> None:
    """Write a bill of materials of `requirements.lock` in CycloneDX 1.6, with the hashes of what may be packaged.

    The same lock file gives the same bytes.

    Raises:
        DeployProblem: the tool failed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    options = ["--output-format", "JSON", "--spec-version", "1.6", "--output-reproducible"]
    result = _run("cyclonedx-py", "requirements", str(LOCK), *options, "--output-file", str(path))
    if result.returncode != 0:
        raise DeployProblem(f"The bill of materials could not be made: {result.stderr.strip()[-500:]}")


@dataclass(frozen=True)
class Audit:
    """What is known against packages, and the names of those of which the service knows nothing, good or bad."""

    advisories: tuple[Advisory, ...]
    unknown: tuple[str, ...]


def audit_dependencies() -> Audit | None:
    """What is known against the pinned packages; None if the service of advisories can't be reached.

    Raises:
        DeployProblem: pip-audit failed for another reason.
    """
    options = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json", "--timeout", "15"]
    result = _run("pip-audit", "--requirement", str(LOCK), *options)
    try:
        return read_audit(result.stdout)
    except ValueError:
        reason = result.stderr.strip()
    if any(word in reason.lower() for word in _UNREACHABLE):
        return None
    raise DeployProblem(f"pip-audit failed: {reason[-500:]}")


def read_audit(text: str) -> Audit | None:
    """What pip-audit's JSON says; None if the service knows none of the packages, as a mirror that has no advisories.

    pip-audit itself takes a package that it could not look up for one without advisories.

    Raises:
        ValueError: it is no JSON.
    """
    packages = json.loads(text)["dependencies"]
    unknown = tuple(package["name"] for package in packages if "skip_reason" in package)
    return None if len(unknown) == len(packages) else Audit(tuple(_advisories(packages)), unknown)


def unaccepted(found: Sequence[Advisory], today: date, accepted: Path = ACCEPTED) -> list[Advisory]:
    """The advisories that nobody has looked at and accepted, or whose acceptance has ended by ``today``.

    ``accepted`` is a JSON list of objects: ``id`` (or an alias), ``why`` it does no harm here, and ``until`` when that holds.
    """
    reviewed = json.loads(accepted.read_text())
    valid = {entry["id"] for entry in reviewed if entry["why"] and date.fromisoformat(entry["until"]) >= today}
    return [advisory for advisory in found if not valid & {advisory.id, *advisory.aliases}]


def _advisories(packages: list[dict[str, Any]]) -> Iterator[Advisory]:
    for package in packages:
        for one in package.get("vulns", []):
            mended, aliases = tuple(one["fix_versions"]), tuple(one["aliases"])
            yield Advisory(one["id"], aliases, package["name"], package["version"], mended)


def _run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    python = ensure_environment(AUDIT_TOOLS, _LOGS)
    # By its module: a script's first line may be longer than a kernel takes.
    module = {"cyclonedx-py": "cyclonedx_py", "pip-audit": "pip_audit"}[tool]
    return subprocess.run(
        [str(python), "-m", module, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
