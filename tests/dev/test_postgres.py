"""The embedded server keeps what it was given, whatever happens to its processes."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pg8000.exceptions
import pg8000.native
import pytest

from dev.configuration import PROJECT
from dev.ports import free_port
from dev.postgres import Postgres
from dev.problem import StackProblem
from dev.stack import ephemeral_postgres


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    with ephemeral_postgres(tmp_path) as postgres:
        _run(postgres, "CREATE TABLE kept (number integer)")
        _run(postgres, "INSERT INTO kept VALUES (1)")
        yield postgres


def test_the_server_has_the_version_of_production(postgres: Postgres) -> None:
    assert _run(postgres, "SELECT current_setting('server_version_num')::int / 10000") == [[18]]


def test_data_survives_a_restart(postgres: Postgres) -> None:
    postgres.restart()
    assert _run(postgres, "SELECT number FROM kept") == [[1]]


def test_data_survives_a_crash(postgres: Postgres) -> None:
    with contextlib.closing(_connect(postgres)):
        postgres.kill()
    postgres.start()
    assert _run(postgres, "SELECT number FROM kept") == [[1]]


def test_a_login_without_a_password_has_no_rights_of_the_server(postgres: Postgres) -> None:
    """As root the server may pass through closed doors; no other account of this machine may do so through it."""
    for statement in ("COPY (SELECT 1) TO PROGRAM 'true'", "SELECT pg_read_file('/etc/hostname')", "SET ROLE postgres"):
        with pytest.raises(pg8000.exceptions.DatabaseError, match="permission denied"):
            _run(postgres, statement)

    with pytest.raises(pg8000.exceptions.Error):
        pg8000.native.Connection("postgres", password="", host="127.0.0.1", port=postgres.port)
    assert (postgres.home / "postgres-password").stat().st_mode & 0o777 == 0o600


def test_data_of_an_earlier_release_whose_role_is_superuser_still_works(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path, free_port(), durable=False)
    postgres.start()
    with contextlib.closing(postgres._connect()) as link:
        link.run("ALTER ROLE landfall SUPERUSER")
    postgres.stop()
    (tmp_path / "postgres-password").unlink()

    try:
        postgres.start()
        assert _run(postgres, "SELECT 1") == [[1]]
    finally:
        postgres.stop()


def test_a_stale_pid_file_that_names_a_stranger_is_ignored(postgres: Postgres) -> None:
    record = postgres.data / "postmaster.pid"
    lines = record.read_text().splitlines()
    postgres.kill()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        record.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        postgres.start()

        assert stranger.poll() is None

        stranger.communicate(b"\n")

    assert _run(postgres, "SELECT number FROM kept") == [[1]]


def test_a_server_that_outlived_its_owner_is_replaced(postgres: Postgres) -> None:
    successor = Postgres(postgres.home, free_port(), durable=False)

    successor.start()
    try:
        assert not postgres.child.is_running
        assert _run(successor, "SELECT number FROM kept") == [[1]]
    finally:
        successor.stop()


def test_an_interrupted_first_start_leaves_no_half_made_folder(tmp_path: Path) -> None:
    (tmp_path / "postgres.unfinished" / "base").mkdir(parents=True)
    with ephemeral_postgres(tmp_path) as postgres:
        assert _run(postgres, "SELECT 1") == [[1]]


def test_data_of_another_version_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(StackProblem, match="not PostgreSQL 18"):
        Postgres(tmp_path, free_port()).start()


def test_a_container_that_withholds_rights_from_root_is_named_in_a_sentence() -> None:
    guard = [sys.executable, str(PROJECT / "dev" / "guard.py"), str(os.getpid()), "15", "nobody", "/bin/true"]
    withheld = ["setpriv", "--bounding-set=-setuid,-setgid", "--inh-caps=-setuid,-setgid"] if os.geteuid() == 0 else []

    result = subprocess.run([*withheld, *guard], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("This container doesn't let root become the account nobody (")
    assert result.stderr.count("\n") == 1


def test_the_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, dev.postgres as p; s = p.Postgres(pathlib.Path(sys.argv[1]), int(sys.argv[2]));"
        "s.start(); print(s.child.pid, flush=True); input()"
    )
    command = [sys.executable, "-c", program, str(tmp_path), str(free_port())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None

        pid = int(owner.stdout.readline())
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    _wait_until_gone(pid)


def _wait_until_gone(pid: int) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(5)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def _connect(postgres: Postgres) -> Any:
    return pg8000.native.Connection("landfall", host="127.0.0.1", port=postgres.port, database="landfall")


def _run(postgres: Postgres, statement: str) -> Any:
    with contextlib.closing(_connect(postgres)) as connection:
        return connection.run(statement)
