"""The services that the application needs, Postgres and a stand-in for AWS: our own processes, or containers."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from dev import ceph
from dev.configuration import (
    EMULATOR_PORT_VARIABLE,
    HOST,
    POSTGRES_PORT_VARIABLE,
    PROJECT,
    WEBHOOK_PORT_VARIABLE,
    Configuration,
)
from dev.emulator import Emulator, emulator_environment
from dev.infra import deploy
from dev.minio import MinIO, find_minio, make_bucket
from dev.ports import answers, require_free
from dev.postgres import Postgres
from dev.problem import StackProblem
from dev.processes import Child, run_to_end, stop_all

# Shows that something goes on, and how long it took.
Step = Callable[[str], AbstractContextManager[None]]


class EmbeddedServices:
    """PostgreSQL 18 and ministack, as children of this process, their data in ``home``."""

    delivery_module = "dev.delivery"

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._postgres = Postgres(configuration.home, configuration.postgres_port)
        self._emulator = Emulator(configuration.home, configuration.emulator_port)

    @property
    def children(self) -> list[Child]:
        """Processes that must go on running."""
        return [self._postgres.child, self._emulator.child]

    def require_ports(self) -> None:
        """Raises:
        StackProblem: somebody else listens there.
        """
        self._postgres.require_port()
        require_free(self._configuration.emulator_port, EMULATOR_PORT_VARIABLE, "the AWS emulator")

    def start(self, step: Step) -> dict[str, str]:
        """Start both, with bucket and queues; returns the environment for the application's processes."""
        with step("AWS emulator installed"):
            emulator_environment(self._configuration.home)
        self._emulator.launch()
        with step("PostgreSQL 18"):
            self._postgres.start()
        with step("AWS emulator"):
            self._emulator.wait_until_ready()
        with step("Bucket, queues and notification"):
            deployed = deploy(self._emulator.url, self._configuration.bucket)
        return self._configuration.child_environment(deployed.queue_url)

    def stop(self) -> None:
        """Stop both."""
        stop_all(self.children)


class EndpointServices:
    """A store that is up already, wherever its endpoint is, and PostgreSQL 18 as a child of this process.

    Postgres has a folder for each kind of store, because a catalogue describes the objects of one store. One that is up
    already may hold the catalogue of another store, whose files would all be found to be gone. The store calls a webhook
    in place of a queue.
    """

    delivery_module = "dev.webhook"
    # The store may be a container, which reaches this machine by the bridge's address; the secret keeps others out.
    webhook_host = "0.0.0.0"

    def __init__(self, configuration: Configuration, make_bucket: Callable[[Configuration], None]) -> None:
        """``make_bucket`` makes the bucket and has its events sent to the webhook. It is called at every start."""
        self._configuration, self._make_bucket = configuration, make_bucket
        data = configuration.home / configuration.stand_in / "postgres"
        self._postgres = Postgres(configuration.home, configuration.postgres_port, data=data)

    @property
    def children(self) -> list[Child]:
        """Processes that must go on running, if they were started."""
        return [self._postgres.child]

    def require_ports(self) -> None:
        """Raises:
        StackProblem: somebody else listens where the webhook or Postgres should.
        """
        require_free(self._configuration.webhook_port, WEBHOOK_PORT_VARIABLE, "the webhook")
        self._postgres.require_port()

    def start(self, step: Step) -> dict[str, str]:
        """Start Postgres, and make the bucket; returns the environment for the application's processes.

        Raises:
            StackProblem: Postgres does not start, or the store refuses.
        """
        with step("PostgreSQL 18"):
            self._postgres.start()
        with step("Bucket and notification"):
            self._make_bucket(self._configuration)
        return self._configuration.child_environment("") | _webhook_environment(self._configuration, self.webhook_host)

    def stop(self) -> None:
        """Stop what `start` started."""
        stop_all(self.children)


class MinioServices(EndpointServices):
    """MinIO and PostgreSQL 18, as children of this process, their data in ``home/minio``."""

    webhook_host = HOST

    def __init__(self, configuration: Configuration, program: str) -> None:
        """``program`` is MinIO's."""
        super().__init__(configuration, make_bucket)
        self._program = program
        self._minio: MinIO | None = None

    @property
    def children(self) -> list[Child]:
        """Processes that must go on running."""
        return [*super().children, *([self._minio.child] if self._minio else [])]

    def require_ports(self) -> None:
        """Raises:
        StackProblem: somebody else listens there. A Postgres that is up already may hold the catalogue of another store.
        """
        super().require_ports()
        require_free(self._configuration.postgres_port, POSTGRES_PORT_VARIABLE, "PostgreSQL")
        require_free(self._configuration.emulator_port, EMULATOR_PORT_VARIABLE, "MinIO")

    def start(self, step: Step) -> dict[str, str]:
        """Start both, with the bucket; returns the environment for the application's processes.

        Raises:
            StackProblem: one of them does not start.
        """
        ours = self._configuration
        keys = {"access_key": ours.access_key, "secret_key": ours.secret_key}
        secret = _secret(ours.home)
        self._minio = MinIO(self._program, ours.home, ours.emulator_port, ours.webhook_port, secret, **keys)
        with step("MinIO"):
            self._minio.start()
        return super().start(step)


class ContainerServices:
    """The containers of ``docker-compose.localstack.yml``, or services that answer at their ports already.

    Services that were up before stay up at the end. Their data stay in any case.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration, self._started = configuration, False
        self.children: list[Child] = []

    @property
    def delivery_module(self) -> str:
        """LocalStack has queues; MinIO calls a webhook."""
        return "dev.webhook" if self._configuration.stand_in == "minio" else "dev.delivery"

    def require_ports(self) -> None:
        """Raises:
        StackProblem: somebody else listens where MinIO's webhook should.
        """
        if self._configuration.stand_in == "minio":
            require_free(self._configuration.webhook_port, WEBHOOK_PORT_VARIABLE, "MinIO's webhook")

    def start(self, step: Step) -> dict[str, str]:
        """Start what isn't up, with bucket and queues; returns the environment for the application's processes.

        Raises:
            StackProblem: there is no Docker, or a container does not get ready.
        """
        configuration = self._configuration
        secret = _secret(configuration.home)
        with step(f"PostgreSQL 18 and {configuration.stand_in}"):
            if not self._is_up():
                self._compose("up", "--detach", "--wait", secret=secret)
                self._started = True
        with step("Bucket and notification"):
            queue_url = self._make_bucket()
        # MinIO in a container calls the host by the address of Docker's bridge; the secret keeps others out.
        return configuration.child_environment(queue_url) | _webhook_environment(configuration, "0.0.0.0")

    def stop(self) -> None:
        """Stop the containers that `start` started."""
        if self._started:
            self._compose("stop", secret=_secret(self._configuration.home))

    def _is_up(self) -> bool:
        return answers(self._configuration.emulator_port) and answers(self._configuration.postgres_port)

    def _make_bucket(self) -> str:
        """Make the bucket; returns the URL of its queue, or "" if there are no queues."""
        if self._configuration.stand_in == "minio":
            make_bucket(self._configuration)
            return ""
        return deploy(self._configuration.emulator_url, self._configuration.bucket).queue_url

    def _compose(self, *arguments: str, secret: str) -> None:
        if not _has_compose():
            program = ", or MinIO's program as `minio` on the PATH" if self._configuration.stand_in == "minio" else ""
            raise StackProblem(
                f"STACK={self._configuration.stand_in} needs Docker with Compose, or both services up already: Postgres on "
                f"{HOST}:{self._configuration.postgres_port} and {self._configuration.stand_in} at "
                f"{self._configuration.emulator_url}{program}. `make run` alone needs neither."
            )
        command = ["docker", "compose", "--file", str(PROJECT / "docker-compose.localstack.yml")]
        command += ["--profile", self._configuration.stand_in, *arguments]
        environment = os.environ | {
            "LANDFALL_WEBHOOK_SECRET": secret,
            WEBHOOK_PORT_VARIABLE: str(self._configuration.webhook_port),
            POSTGRES_PORT_VARIABLE: str(self._configuration.postgres_port),
            EMULATOR_PORT_VARIABLE: str(self._configuration.emulator_port),
        }
        result = run_to_end(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if result.returncode != 0:
            reason = " ".join(result.stderr.strip().splitlines()[-2:])
            raise StackProblem(f"`docker compose {arguments[0]}` failed: {reason}")


Services = EmbeddedServices | EndpointServices | ContainerServices


def services_for(configuration: Configuration) -> Services:
    """The services that ``STACK`` asks for."""
    if configuration.stand_in == "embedded":
        return EmbeddedServices(configuration)
    if configuration.stand_in == "ceph":
        return EndpointServices(configuration, lambda ours: ceph.make_bucket(ours, receiver_url(ours)))
    if configuration.endpoint:
        return EndpointServices(configuration, make_bucket)
    if configuration.stand_in == "minio" and (program := find_minio()):
        return MinioServices(configuration, program)
    return ContainerServices(configuration)


def _has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    return (
        subprocess.run(["docker", "compose", "version"], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
    )


def receiver_url(configuration: Configuration) -> str:
    """Where the store posts events to, with the secret as the path, for a store that sends no header of ours."""
    ours = f"http://{ceph.address_towards(configuration.endpoint)}:{configuration.webhook_port}"
    return f"{(os.environ.get('LANDFALL_WEBHOOK_URL') or ours).rstrip('/')}/{_secret(configuration.home)}"


def _webhook_environment(configuration: Configuration, host: str) -> dict[str, str]:
    """What `dev.webhook` must know; ``host`` is the address that it listens on unless the developer names another."""
    return {
        "LANDFALL_WEBHOOK_SECRET": _secret(configuration.home),
        "LANDFALL_WEBHOOK_HOST": os.environ.get("LANDFALL_WEBHOOK_HOST") or host,
        WEBHOOK_PORT_VARIABLE: str(configuration.webhook_port),
    }


def _secret(home: Path) -> str:
    """The webhook's secret, made once: MinIO keeps it as long as its container lives."""
    path = home / "webhook-secret"
    home.mkdir(parents=True, exist_ok=True)
    if named := os.environ.get("LANDFALL_WEBHOOK_SECRET"):
        return named
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24))
    return path.read_text()
