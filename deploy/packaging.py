"""From this checkout to what Lambda runs: two zips and a template, the same bytes from the same commit and Python.

Chalice makes them. It works on a copy that holds only what belongs into a package. It gets its wheels from a folder of
files whose hashes were checked against ``requirements.lock``. Afterwards the zips are written anew, because Chalice's
depend on the order in which a disk lists its files.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic.script import ScriptDirectory

from deploy.alias import invoke_alias
from deploy.preflights import limit_preflights
from deploy.problem import DeployProblem
from deploy.template import PROJECT, write_merged

LOCK = PROJECT / "requirements.lock"
CODE_LIMIT, LAYER_LIMIT = 2_000_000, 23_000_000  # bytes, zipped: what a cold start has to fetch
_LAYERS = PROJECT / "build" / "layers"
_OURS = ("chalicelib/", "chalice/", "__pycache__/app.")
_PARTS = ("app.py", "chalicelib", "vendor", "requirements.txt", ".chalice")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.py[cod]", "deployments", "deployed", ".DS_Store")
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
_WHEELS = {"arm64": "aarch64", "x86_64": "x86_64"}  # Lambda's names of architectures, and those of wheels
_MACHINES = {"aarch64": "arm64", "arm64": "arm64", "x86_64": "x86_64", "AMD64": "x86_64"}


@dataclass(frozen=True)
class Package:
    """What was packaged. ``template`` is SAM, and names the zips by relative paths."""

    folder: Path

    @property
    def template(self) -> Path:
        return self.folder / "sam.json"

    @property
    def code(self) -> Path:
        return self.folder / "deployment.zip"

    @property
    def layer(self) -> Path:
        return self.folder / "layer-deployment.zip"

    @property
    def revision(self) -> str:
        """The schema's revision that this code was written for."""
        migrations = self.folder / "project" / "chalicelib" / "db" / "migrations"
        return str(ScriptDirectory(str(migrations)).get_current_head())


def own_architecture() -> str:
    """This machine's architecture by Lambda's name. An emulator needs it, because it runs functions on this machine."""
    return _MACHINES.get(platform.machine(), "x86_64")


def package(
    stage: str, folder: Path, architecture: str | None = None, source: Path = PROJECT, layers: Path = _LAYERS
) -> Package:
    """Package ``stage`` of the checkout ``source`` into ``folder``, which is emptied first.

    Args:
        layers: keeps layers that were made before; one is made anew when anything that goes into it has changed.
        architecture: ``arm64`` or ``x86_64``; None for the one in ``.chalice/config.json``.

    Raises:
        DeployProblem: a wheel is missing or not the one that was locked, Chalice refused, or the result is not what a
            package may hold.
    """
    _require_stage(stage, source)
    shutil.rmtree(folder, ignore_errors=True)
    project = folder / "project"
    _copy_project(source, project, architecture)
    write_merged(folder, source)
    architecture = architecture or _configured_architecture(project)
    made_before = layers / _fingerprint(project, architecture)
    deployments = project / ".chalice" / "deployments"
    if made_before.exists():
        shutil.copytree(made_before, deployments)  # where Chalice keeps what it made, and looks first
    else:
        fetch_wheels(folder / "wheels", LOCK, architecture, "--require-hashes")
    _run_chalice(stage, project, folder, architecture)
    result = Package(folder)
    limit_preflights(result.template)
    invoke_alias(result.template)
    _rewrite(result.code, "/var/task")
    if not made_before.exists():
        _rewrite(result.layer, "/opt")
        _keep(result.layer, next(deployments.glob("managed-layer-*.zip")).name, made_before)
    _check(result)
    return result


def _require_stage(stage: str, source: Path) -> None:
    """Make sure that a stage can be deployed.

    Raises:
        DeployProblem: ``.chalice/config.json`` has no such stage, so that its functions would take themselves for local
            ones; or it is ``local``, which trusts its callers.
    """
    stages = set(json.loads((source / ".chalice" / "config.json").read_text())["stages"]) - {"local"}
    if stage not in stages:
        raise DeployProblem(
            f"There is no stage {stage!r} to deploy; .chalice/config.json has {', '.join(sorted(stages))}. A new one needs "
            "an entry there, with LANDFALL_STAGE, and may have parameters in infra/parameters/."
        )


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return sha256(path.read_bytes()).hexdigest()


def platforms(architecture: str) -> list[str]:
    """pip's names of the platforms whose wheels run in Lambda on ``architecture``."""
    wheel = _WHEELS[architecture]
    return [f"manylinux2014_{wheel}", f"manylinux_2_17_{wheel}"]


def fetch_wheels(folder: Path, requirements: Path, architecture: str, *options: str) -> None:
    """Have pip fetch the wheels of ``requirements``, without what they depend on, for Lambda on ``architecture``."""
    for_lambda = [f"--platform={name}" for name in platforms(architecture)]
    target = [f"--dest={folder}", f"--requirement={requirements}"]
    pip("download", "--quiet", "--no-deps", "--only-binary=:all:", *for_lambda, *options, *target)


def pip(*arguments: str) -> None:
    """Run pip.

    Raises:
        DeployProblem: it failed; holds the end of what it said.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        raise DeployProblem(f"pip failed: {_ending(result.stderr)}")


def _copy_project(source: Path, project: Path, architecture: str | None) -> None:
    for part in _PARTS:
        original, copy = source / part, project / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(original, copy, ignore=_LEFT_OUT) if original.is_dir() else shutil.copy(original, copy)
    if architecture:
        path = project / ".chalice" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"lambda_architecture": architecture}))


def _configured_architecture(project: Path) -> str:
    return str(json.loads((project / ".chalice" / "config.json").read_text())["lambda_architecture"])


def _fingerprint(project: Path, architecture: str) -> str:
    """A hash of everything that decides what a layer holds."""
    parts = [LOCK.read_bytes(), architecture.encode(), sys.version.encode()]
    for path in sorted((project / "vendor").rglob("*")):
        if path.is_file():
            parts += [str(path.relative_to(project)).encode(), path.read_bytes()]
    return sha256(b"\0".join(sha256(part).digest() for part in parts)).hexdigest()


def _keep(layer: Path, name: str, folder: Path) -> None:
    """Keep a layer for later, whole or not at all: another packaging may read it at this moment."""
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    shutil.copy(layer, unfinished / name)
    try:
        unfinished.rename(folder)
    except OSError:  # another was faster
        shutil.rmtree(unfinished)


def _run_chalice(stage: str, project: Path, folder: Path, architecture: str) -> None:
    # -B: Chalice imports the application from the folder that it zips, and must leave no bytecode there.
    command = [sys.executable, "-B", "-c", "import sys; from chalice.cli import main; sys.exit(main())"]
    command += ["--project-dir", str(project), "package", "--stage", stage]
    command += ["--merge-template", str(folder / "infra.json"), str(folder)]
    environment = os.environ | {
        # Chalice has pip fetch wheels for this machine first, and fetches those that don't fit once more for Lambda.
        # With these variables pip sees only the checked wheels, and takes those for Lambda at once, on any machine.
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder / "wheels"),
        "PIP_ONLY_BINARY": ":all:",
        "PIP_PLATFORM": " ".join(platforms(architecture)),
        "LANDFALL_IDENTITY": "none",  # or preflights would offer the header of the local stage's users
        "AWS_DEFAULT_REGION": "us-east-1",  # Chalice wants one, and writes it nowhere
    }
    result = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        raise DeployProblem(f"`chalice package --stage {stage}` failed: {_ending(result.stderr or result.stdout)}")


def _rewrite(archive: Path, root: str) -> None:
    """Write an archive anew: the same files and their bytecode, in the order of their names, with one time and one mode.

    ``root`` is where Lambda unpacks it: tracebacks show paths below it.
    """
    with TemporaryDirectory(dir=archive.parent) as name:
        content = Path(name)
        with zipfile.ZipFile(archive) as old:
            old.extractall(content)
        _compile(content, root)
        files = {str(path.relative_to(content)): path for path in content.rglob("*") if path.is_file()}
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
            for file in sorted(files):
                info = zipfile.ZipInfo(file, _ZIP_TIME)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = 0o100644 << 16
                new.writestr(info, files[file].read_bytes())


def _compile(content: Path, root: str) -> None:
    for path in content.rglob("*.pyc"):
        path.unlink()
    # The order of a set's members depends on the seed of hashes.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    environment.pop("PYTHONPYCACHEPREFIX", None)
    command = [sys.executable, "-S", "-B", str(PROJECT / "deploy" / "bytecode.py"), str(content), root]
    subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL)


def _check(result: Package) -> None:
    code, layer = _names(result.code), _names(result.layer)
    if strange := [name for name in code if name != "app.py" and not name.startswith(_OURS)]:
        raise DeployProblem(f"The function's zip holds what it should not: {_some(strange)}.")
    if unwanted := [name for name in (*code, *layer) if name.endswith((".env", ".key"))]:
        raise DeployProblem(f"The zips hold what no package may: {_some(unwanted)}.")
    for archive, limit in ((result.code, CODE_LIMIT), (result.layer, LAYER_LIMIT)):
        if (size := archive.stat().st_size) > limit:
            raise DeployProblem(f"{archive.name} has {size:,} bytes; it may have {limit:,}.")


def _names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as content:
        return content.namelist()


def _some(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:5])


def _ending(text: str) -> str:
    return " ".join(text.strip().splitlines()[-3:]) or "it said nothing"
