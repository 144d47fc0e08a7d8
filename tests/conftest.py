"""Fixtures of every test: a real PostgreSQL, and databases in it that the real migrations made."""

import os
from collections.abc import Callable, Generator, Iterator
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine, create_engine, text

from chalicelib.db import migrate
from chalicelib.db.engine import create_catalog_engine
from chalicelib.errors import DatabaseUnavailable
from dev.ports import free_port
from dev.postgres import Postgres
from dev.processes import log_ending

# So that an assertion that fails there is told in full, as one of a test module.
pytest.register_assert_rewrite("tests.support")

_TEMPLATE = "migrated"

# Several tests run at once, on machines of any speed: how long one takes says nothing about the code.
settings.register_profile("landfall", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("landfall")

# Each client of S3 reads botocore's description of S3, for 60 ms. A process has one client, and each test makes its own.
_read_description = lru_cache(partial(JSONFileLoader.load_file, JSONFileLoader()))
JSONFileLoader.load_file = lambda _loader, path: _read_description(path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything that tests need was installed, as in CI, a skipped test is a failure.

    CI names what it could not install; see `tests.support.lacking`. Where the database went away, its log says why.
    """
    report = yield
    is_announced = call.excinfo is not None and getattr(call.excinfo.value, "is_announced", False)
    if report.failed and call.excinfo is not None and isinstance(call.excinfo.value, DatabaseUnavailable):
        report.sections += [(path.name, log_ending(path, 30)) for path in _server_logs]
    if report.skipped and os.environ.get("LANDFALL_TEST_ALL") and not is_announced:
        report.outcome = "failed"
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Say how many processes ``--numprocesses=auto`` is on this machine."""
    from tests.support.parallel import number_of_processes

    return number_of_processes()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Say which tests belong together in one process."""
    from tests.support.parallel import Sharing

    return Sharing(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests come first."""
    from tests.support.parallel import sort_by_duration

    sort_by_duration(items)


_leaks: list[str] = []
_server_logs: list[Path] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Look for secrets in what a test, and the application in its process, have written."""
    from tests.support.secrets import secrets_in  # after the registration above

    for name, written in report.sections:
        if name.startswith("Captured std"):
            _leaks.extend(f"{report.nodeid}: {found}" for found in secrets_in(written))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what one of several processes has found. Each knows its own secrets, and its own servers' logs."""
    _leaks.extend(getattr(node, "workeroutput", {}).get("leaks", []))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look for secrets in the logs of the servers that ran: one of them is a failure of the whole suite."""
    from tests.support.secrets import leaks_in_logs

    _leaks.extend(leaks_in_logs())
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["leaks"] = _leaks
    if _leaks:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which secrets are in which log."""
    if _leaks:
        terminalreporter.section("secrets in logs", red=True)
        for leak in dict.fromkeys(_leaks):
            terminalreporter.write_line(leak)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a server's own database, ``postgres``. It forgets everything, in exchange for speed."""
    # Not in pytest's own folder: as root the server runs as another user, and pytest closes its folder to others.
    with TemporaryDirectory(prefix="landfall-tests-") as home:
        Path(home).chmod(0o755)
        server = Postgres(Path(home), free_port(), durable=False)
        server.start()
        _server_logs.append(server.child.log)
        try:
            yield server.url.rsplit("/", 1)[0] + "/postgres"
        finally:
            server.stop()


@pytest.fixture(scope="session")
def new_database(postgres_url: str) -> Callable[[str | None], str]:
    """Makes a database, a copy of the given one or empty, and says its URL."""
    admin = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    numbers = count(1)

    def create(template: str | None) -> str:
        name = _TEMPLATE if template == "" else f"test_{next(numbers)}"
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'} STRATEGY FILE_COPY"))
        return postgres_url.removesuffix("/postgres") + f"/{name}"

    return create


@pytest.fixture(scope="session")
def new_migrated_database(new_database: Callable[[str | None], str]) -> Callable[[], str]:
    """Makes a database with the schema and says its URL. The migrations run once; the rest are copies."""
    engine = create_catalog_engine(new_database(""))
    migrate.upgrade(engine)
    engine.dispose()  # or the database could not be copied
    return lambda: new_database(_TEMPLATE)


@pytest.fixture(scope="session")
def database_url(new_migrated_database: Callable[[], str]) -> str:
    """A migrated database that all tests share: each uses names of its own in it."""
    return new_migrated_database()


@pytest.fixture
def empty_engine(empty_database_url: str) -> Iterator[Engine]:
    """An engine of `empty_database_url`."""
    engine = create_catalog_engine(empty_database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def empty_database_url(new_database: Callable[[str | None], str]) -> str:
    """A database of the test's own with nothing in it."""
    return new_database(None)
