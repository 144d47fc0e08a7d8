"""Starts the local stack, watches over it, and stops it: everything it started and nothing else."""

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from chalicelib.errors import ConfigurationError
from chalicelib.settings import Settings
from dev import welcome
from dev.configuration import API_PORT_VARIABLE, HOST, PROVIDER_PORT_VARIABLE, Configuration
from dev.ports import answers, require_free, require_loopback
from dev.problem import StackProblem
from dev.processes import Child, stop_all, stop_leftovers
from dev.services import services_for
from dev.stopping import Stopped, obey, stop_listening, stop_signals


class Supervisor:
    """One running instance of the stack."""

    def __init__(self, configuration: Configuration, *, with_api: bool) -> None:
        """Without the API, the developer starts `chalice local` by hand."""
        self._configuration, self._with_api = configuration, with_api
        self._has_terminal = sys.stdout.isatty()
        self._services = services_for(configuration)
        self._setup = Child("database-setup", configuration.home)
        self._api = Child("api", configuration.home)
        self._delivery = Child("delivery", configuration.home)
        self._provider = Child("provider", configuration.home)

    def run(self) -> None:
        """Start everything and stay until asked to stop.

        Raises:
            StackProblem: something could not start, or ended by itself. By then everything is stopped.
        """
        with _one_instance(self._configuration), stop_signals():
            try:
                self._start()
                self._watch()
            except Stopped:
                with contextlib.suppress(OSError):  # no terminal any more
                    print("\nStopping.", flush=True)
            finally:
                self._stop()

    def _start(self) -> None:
        began = time.monotonic()
        self._require_settings()
        for name in stop_leftovers(self._configuration.home):
            print(f"  Ended the {name} process that a killed run had left behind.", flush=True)
        self._require_ports()
        self._start_application(self._services.start(_step))
        obey()
        self._configuration.note_running()
        welcome.show(self._configuration, with_api=self._with_api, seconds=time.monotonic() - began)

    def _start_application(self, environment: dict[str, str]) -> None:
        with _step("Database schema"):
            self._setup.start([sys.executable, "-m", "dev.database_setup"], environment)
            self._setup.wait_for_success()
            self._setup.stop()
        if self._configuration.has_provider:
            with _step("Identity provider"):
                self._provider.start([sys.executable, "-m", "dev.provider"], environment)
                self._provider.wait_until(lambda: answers(self._configuration.provider_port))
        with _step("Event delivery" + (" and API" if self._with_api else "")):
            self._delivery.start([sys.executable, "-m", self._services.delivery_module], environment)
            if self._with_api:
                self._api.start(_chalice_local(self._configuration.api_port), environment)
                self._api.wait_until(lambda: answers(self._configuration.api_port))
            self._delivery.require_running()

    def _require_settings(self) -> None:
        """Check the settings before anything is started, and say in one sentence what is wrong."""
        try:
            Settings.from_environment(self._configuration.child_environment(""))
        except ConfigurationError as error:
            raise StackProblem(str(error)) from None

    def _require_ports(self) -> None:
        require_loopback()
        self._services.require_ports()
        if self._with_api:
            require_free(self._configuration.api_port, API_PORT_VARIABLE, "the API")
        if self._configuration.has_provider:
            require_free(self._configuration.provider_port, PROVIDER_PORT_VARIABLE, "the identity provider")

    def _watch(self) -> None:
        watched = [*self._services.children, self._delivery, *([self._api] if self._with_api else [])]
        watched += [self._provider] if self._configuration.has_provider else []
        while True:
            obey()
            if self._has_terminal and not sys.stdout.isatty():
                raise Stopped  # the terminal was closed, and only `make`, which ignores that, got the signal
            for child in watched:
                child.require_running()
            time.sleep(0.2)

    def _stop(self) -> None:
        # First the processes that use the services, then the services.
        stop_listening()
        self._configuration.forget_running()
        stop_all([self._setup, self._api, self._delivery, self._provider])
        self._services.stop()


def _chalice_local(port: int) -> list[str]:
    command = [sys.executable, "-c", "from chalice.cli import main; main()", "local", "--stage", "local"]
    return [*command, "--host", HOST, "--port", str(port), "--no-autoreload"]


@contextmanager
def _one_instance(configuration: Configuration) -> Iterator[None]:
    """Hold the folder's lock. The system releases it, however this process ends."""
    with _lock_file(configuration) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackProblem(f"A stack is already running in {configuration.home}; its logs are there.") from None
        yield


def _lock_file(configuration: Configuration) -> TextIO:
    try:
        configuration.logs.mkdir(parents=True, exist_ok=True)
        lock = (configuration.home / "lock").open("w")
        if not os.access(configuration.logs, os.W_OK):
            raise PermissionError(f"{configuration.logs} is read-only")
    except OSError as error:
        reason = error.strerror or str(error)
        raise StackProblem(
            f"The folder {configuration.home} cannot be written ({reason}); name another one with LANDFALL_HOME."
        ) from None
    return lock


@contextmanager
def _step(name: str) -> Iterator[None]:
    """Show what is going on, and how long it took."""
    obey()
    began = time.monotonic()
    if sys.stdout.isatty():
        print(f"  {name} ...", end="\r", flush=True)
    yield
    print(f"  {name:<36}{time.monotonic() - began:6.1f} s", flush=True)
