"""What happens before there is anything: the Makefile, and a Python that is too old."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

from dev.configuration import PROJECT
from tests.support.waiting import eventually

_CANDIDATES = ("python3", "python3.11", "python3.12", "python3.13", "python3.14")


def test_make_says_in_a_sentence_that_no_python_is_new_enough(tmp_path: Path) -> None:
    for name in _CANDIDATES:
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)

    result = _make("run", f"VENV={tmp_path}/venv", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert result.returncode != 0
    assert result.stderr.startswith("landfall: Python 3.11 or newer is needed")
    assert "Traceback" not in result.stderr


def test_make_finds_a_newer_python_beside_an_old_one(tmp_path: Path) -> None:
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3.13").write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0; echo "chosen: $*" >&2; exit 1\n')
    for name in ("python3", "python3.13"):
        (tmp_path / name).chmod(0o755)

    result = _make("run", f"VENV={tmp_path}/venv", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert "chosen: -m venv" in result.stderr


def test_make_takes_only_the_python_that_is_named(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("#!/bin/sh\nexit 1\n")
    new.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0; echo "chosen: $*" >&2; exit 1\n')
    for path in (old, new):
        path.chmod(0o755)

    refused = _make("run", f"PYTHON={old}", f"VENV={tmp_path}/venv")
    assert refused.stderr.startswith(f"landfall: Python 3.11 or newer is needed, and PYTHON={old} is none.")
    assert "chosen: -m venv" in _make("run", f"PYTHON={new}", f"VENV={tmp_path}/venv").stderr


def test_an_environment_of_another_python_is_made_anew_only_on_request(tmp_path: Path) -> None:
    venv, python = tmp_path / "venv", Path(sys.executable).resolve()
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(python)
    (venv / "pyvenv.cfg").write_text(f"home = {python.parent}\nexecutable = {python}\n")
    (venv / "landfall-stamp").touch()
    other = tmp_path / "other"
    other.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] || {{ echo "chosen: $*" >&2; exit 1; }}; exec {python} "$@" | sed s/python/x/\n'
    )
    other.chmod(0o755)

    assert "chosen" not in _make("-n", "run", f"VENV={venv}").stdout
    assert "-m venv --clear" not in _make("-n", "run", f"VENV={venv}", f"PYTHON={python}").stdout
    assert "chosen: -m venv --clear" in _make("run", f"VENV={venv}", f"PYTHON={other}").stderr


def test_an_environment_made_anew_for_new_requirements_keeps_its_python(tmp_path: Path) -> None:
    before = tmp_path / "before"
    before.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0; echo "chosen: $*" >&2; exit 1\n')
    before.chmod(0o755)
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").write_text(f"executable = {before}\n")

    assert "chosen: -m venv" in _make("run", f"VENV={tmp_path}/venv").stderr


def test_make_alone_lists_every_target() -> None:
    listed = _make().stdout
    assert all(f"make {target} " in listed for target in ("run", "services", "test", "check", "bench", "clean"))


def test_any_python_can_parse_the_entry_point() -> None:
    for name in ("__init__.py", "__main__.py"):
        ast.parse((PROJECT / "dev" / name).read_text(), feature_version=(3, 4))


def test_the_guard_ends_a_child_where_the_kernel_cannot(tmp_path: Path) -> None:
    """The way of macOS, tried here."""
    program = (
        "import os, subprocess, sys; sys.path.insert(0, 'dev'); import guard;"
        "child = os.fork();"
        "print(os.getpid(), flush=True) if child else"
        " os._exit(guard._watch(os.getppid(), 15, ['sh', '-c', 'echo $$; exec sleep 60']));"
        "os.waitpid(child, 0)"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None

        pids = {int(owner.stdout.readline()), int(owner.stdout.readline())}
        [sleeper] = pids - {owner.pid}
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    assert eventually(lambda: not _is_alive(sleeper), 5)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=PROJECT, env=os.environ | environment, capture_output=True, text=True, timeout=30
    )
