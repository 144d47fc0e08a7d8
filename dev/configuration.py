"""Where the local stack lives and which ports it takes, read once from the environment."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, cast, get_args
from urllib.parse import urlsplit

from dev.problem import StackProblem

PROJECT = Path(__file__).resolve().parent.parent
REGION = "us-east-1"
HOST = "127.0.0.1"

POSTGRES_PORT_VARIABLE = "LANDFALL_POSTGRES_PORT"
EMULATOR_PORT_VARIABLE = "LANDFALL_EMULATOR_PORT"
API_PORT_VARIABLE = "LANDFALL_API_PORT"
WEBHOOK_PORT_VARIABLE = "LANDFALL_WEBHOOK_PORT"
PROVIDER_PORT_VARIABLE = "LANDFALL_PROVIDER_PORT"

# The file in the home of a running stack that says where the stack is to be found, as variables.
_RECORD = "running.json"

# What stands in for AWS: our own embedded emulator, a container, or a store of its own.
StandIn = Literal["embedded", "localstack", "minio", "ceph"]
# The variables that name a store which is up already, anywhere.
_ENDPOINT_VARIABLES: dict[str, str] = {"minio": "MINIO_ENDPOINT", "ceph": "CEPH_ENDPOINT"}

# A developer's own AWS settings must never reach the stack, nor the stack's calls AWS.
_FOREIGN_PREFIXES = ("AWS_", "MINISTACK_", "LANDFALL_STAGE", "LANDFALL_S3_PUBLIC_ENDPOINT", "PG")


@dataclass(frozen=True)
class Configuration:
    """The options of one instance. Two with different ``home`` and ports run side by side."""

    home: Path
    postgres_port: int = 25432
    emulator_port: int = 4566
    api_port: int = 8000
    bucket: str = "landfall-local"
    delivery_batch: int = 100
    stand_in: StandIn = "embedded"
    endpoint: str = ""  # of a store that is up already; the emulator's port does not matter then
    webhook_port: int = 8001
    provider_port: int = 8002
    has_provider: bool = False  # the stack has an identity provider of its own, and callers sign in with it
    access_key: str = "test"
    secret_key: str = "test"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Configuration":
        """Read the options.

        Raises:
            StackProblem: a number is not one, or out of range, or two ports are the same.
        """
        # Children run in the project's folder, so a relative home must not depend on where we were started.
        home = Path(environ.get("LANDFALL_HOME") or PROJECT / ".landfall").expanduser().absolute()
        configuration = cls(
            home=home,
            postgres_port=_number(environ, POSTGRES_PORT_VARIABLE, cls.postgres_port, 65_535),
            emulator_port=_number(environ, EMULATOR_PORT_VARIABLE, cls.emulator_port, 65_535),
            api_port=_number(environ, API_PORT_VARIABLE, cls.api_port, 65_535),
            bucket=environ.get("LANDFALL_BUCKET") or cls.bucket,
            delivery_batch=_number(environ, "LANDFALL_DELIVERY_BATCH", cls.delivery_batch, 10_000),
            webhook_port=_number(environ, WEBHOOK_PORT_VARIABLE, cls.webhook_port, 65_535),
            provider_port=_number(environ, PROVIDER_PORT_VARIABLE, cls.provider_port, 65_535),
            has_provider=environ.get("LANDFALL_IDENTITY") == "oidc" and not environ.get("LANDFALL_OIDC_ISSUERS"),
            **_stand_in(environ),
        )
        _require_distinct(configuration)
        return configuration

    @classmethod
    def of_running(cls, environ: Mapping[str, str] = os.environ) -> "Configuration":
        """The options of the stack that runs in this folder, whatever ports it was started with.

        Raises:
            StackProblem: none runs, and the environment doesn't say where another one is to be found.
        """
        record = cls.from_environment(environ).home / _RECORD
        try:
            known = json.loads(record.read_text())
        except (OSError, ValueError):
            if not any(environ.get(name) for name in (EMULATOR_PORT_VARIABLE, *_ENDPOINT_VARIABLES.values())):
                raise StackProblem(
                    f"No stack is running in {record.parent}; `make run` starts one. {EMULATOR_PORT_VARIABLE} names another."
                ) from None
            known = {}
        return cls.from_environment({**known, **environ})

    def note_running(self) -> None:
        """Note where this stack is to be found, for `of_running`."""
        known = {
            POSTGRES_PORT_VARIABLE: self.postgres_port,
            EMULATOR_PORT_VARIABLE: self.emulator_port,
            API_PORT_VARIABLE: self.api_port,
            WEBHOOK_PORT_VARIABLE: self.webhook_port,
            PROVIDER_PORT_VARIABLE: self.provider_port,
            "LANDFALL_STACK": self.stand_in,
            "LANDFALL_BUCKET": self.bucket,
        }
        if self.endpoint:
            known[_ENDPOINT_VARIABLES[self.stand_in]] = self.endpoint
        (self.home / _RECORD).write_text(json.dumps({name: str(value) for name, value in known.items()}))

    def forget_running(self) -> None:
        """Forget where this stack is to be found: it has ended."""
        (self.home / _RECORD).unlink(missing_ok=True)

    @property
    def logs(self) -> Path:
        """Where every child process writes its log."""
        return self.home / "logs"

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the catalogue's database."""
        return f"postgresql+pg8000://landfall@{HOST}:{self.postgres_port}/landfall"

    @property
    def emulator_url(self) -> str:
        """AWS endpoint of the emulator."""
        return self.endpoint or f"http://{HOST}:{self.emulator_port}"

    @property
    def api_url(self) -> str:
        """Where ``chalice local`` answers."""
        return f"http://{HOST}:{self.api_port}"

    @property
    def provider_url(self) -> str:
        """Where the stack's own identity provider answers, and its name."""
        return f"http://{HOST}:{self.provider_port}"

    def child_environment(self, queue_url: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The environment of everything that runs Landfall's own code here: ``environ``, pointed at this stack."""
        kept = {name: value for name, value in environ.items() if not name.startswith(_FOREIGN_PREFIXES)}
        no_proxy = ",".join(filter(None, [environ.get("NO_PROXY") or environ.get("no_proxy"), HOST, "localhost"]))
        provider = {
            "LANDFALL_OIDC_ISSUERS": self.provider_url,
            "LANDFALL_OIDC_AUDIENCES": "landfall",
            "LANDFALL_OIDC_CLIENT_ID": "page",
        }
        return (
            kept
            | (provider if self.has_provider else {})
            | {
                "LANDFALL_STAGE": "local",
                "LANDFALL_HOME": str(self.home),
                "LANDFALL_DATABASE_URL": self.database_url,
                "LANDFALL_BUCKET": self.bucket,
                "LANDFALL_PUBLIC_URL": environ.get("LANDFALL_PUBLIC_URL") or self.api_url,
                "LANDFALL_QUEUE_URL": queue_url,
                "LANDFALL_DELIVERY_BATCH": str(self.delivery_batch),
                "AWS_ENDPOINT_URL": self.emulator_url,
                "AWS_ACCESS_KEY_ID": self.access_key,
                "AWS_SECRET_ACCESS_KEY": self.secret_key,
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                "AWS_EC2_METADATA_DISABLED": "true",
                "NO_PROXY": no_proxy,
                "no_proxy": no_proxy,
                "PYTHONUNBUFFERED": "1",
            }
        )


def _require_distinct(configuration: Configuration) -> None:
    ports = {POSTGRES_PORT_VARIABLE: configuration.postgres_port, API_PORT_VARIABLE: configuration.api_port}
    if not configuration.endpoint:
        ports[EMULATOR_PORT_VARIABLE] = configuration.emulator_port
    if configuration.stand_in in _ENDPOINT_VARIABLES:
        ports[WEBHOOK_PORT_VARIABLE] = configuration.webhook_port
    if configuration.has_provider:
        ports[PROVIDER_PORT_VARIABLE] = configuration.provider_port
    for one, other in combinations(ports, 2):
        if ports[one] == ports[other]:
            raise StackProblem(f"{one} and {other} are both {ports[one]}; each needs a port of its own.")


def _stand_in(environ: Mapping[str, str]) -> dict[str, Any]:
    name = environ.get("LANDFALL_STACK") or "embedded"
    if name not in get_args(StandIn):
        raise StackProblem(f"STACK must be one of {', '.join(get_args(StandIn))}, and is {name!r}.")
    if name == "ceph":
        return _ceph(environ)
    if name != "minio":
        return {"stand_in": cast(StandIn, name)}
    variable = _ENDPOINT_VARIABLES[name]
    return {
        "stand_in": "minio",
        "endpoint": _url(variable, environ[variable]) if environ.get(variable) else "",
        "access_key": environ.get("MINIO_ROOT_USER") or "test",
        "secret_key": environ.get("MINIO_ROOT_PASSWORD") or "testtest",
    }


def _ceph(environ: Mapping[str, str]) -> dict[str, Any]:
    """A cluster is never started here, and has no customary keys."""
    names = {"endpoint": "CEPH_ENDPOINT", "access_key": "CEPH_ACCESS_KEY", "secret_key": "CEPH_SECRET_KEY"}
    found = {field: environ.get(variable, "") for field, variable in names.items()}
    if missing := [names[field] for field, value in found.items() if not value]:
        raise StackProblem(
            f"STACK=ceph uses a cluster that is up; set {', '.join(missing)}: the URL of its RADOS gateway, and a user's keys."
        )
    return {"stand_in": "ceph", **found, "endpoint": _url(names["endpoint"], found["endpoint"])}


def _url(variable: str, text: str) -> str:
    """A store's URL, without a slash at its end."""
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number, or too large
        is_url = False
    if not is_url:
        raise StackProblem(f"{variable} must be a URL like http://store.example:9000, and is {text!r}.")
    return text.rstrip("/")


def _number(environ: Mapping[str, str], variable: str, default: int, largest: int) -> int:
    text = environ.get(variable) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= largest:
        raise StackProblem(f"{variable} must be a number from 1 to {largest}, and is {text!r}.")
    return int(text)
