"""``docker-compose.localstack.yml`` as Compose itself reads it. No daemon is needed for that."""

import json
import os
import subprocess
from typing import Any

import pytest

from dev.configuration import PROJECT
from tests.support.lacking import require_compose

PROFILES = {"localstack": {"postgres", "localstack"}, "minio": {"postgres", "minio"}}


@pytest.fixture(autouse=True)
def compose() -> None:
    require_compose()


def config(profile: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANDFALL_", "LOCALSTACK_"))}
    command = ["docker", "compose", "--file", "docker-compose.localstack.yml", "--profile", profile]
    return subprocess.run(
        [*command, "config", "--format", "json"], cwd=PROJECT, env=kept | variables, capture_output=True, text=True
    )


def services(profile: str, **variables: str) -> dict[str, Any]:
    result = config(profile, LANDFALL_WEBHOOK_SECRET="a-secret", **variables)
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout)["services"])


def published(service: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Address, port and the container's port of each port that a service publishes."""
    return [(port["host_ip"], port["published"], port["target"]) for port in service["ports"]]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_has_its_services_and_all_are_on_the_loopback_interface(profile: str) -> None:
    found = services(profile)
    assert found.keys() == PROFILES[profile]
    assert {host for service in found.values() for host, _, _ in published(service)} == {"127.0.0.1"}
    assert all(service["healthcheck"]["test"] for service in found.values())


@pytest.mark.parametrize("profile", PROFILES)
def test_ports_are_those_of_the_environment(profile: str) -> None:
    inside = {"localstack": 4566, "minio": 9000}[profile]
    usual, other = services(profile), services(profile, LANDFALL_EMULATOR_PORT="5001", LANDFALL_POSTGRES_PORT="5002")
    assert published(usual[profile]) == [("127.0.0.1", "4566", inside)]
    assert published(usual["postgres"]) == [("127.0.0.1", "25432", 5432)]
    assert published(other[profile]) == [("127.0.0.1", "5001", inside)]
    assert published(other["postgres"]) == [("127.0.0.1", "5002", 5432)]


def test_minio_is_told_where_the_webhook_is_and_its_secret() -> None:
    found = services("minio", LANDFALL_WEBHOOK_PORT="5003")["minio"]
    environment = found["environment"]
    assert environment["MINIO_NOTIFY_WEBHOOK_ENDPOINT_LANDFALL"] == "http://host.docker.internal:5003/"
    assert environment["MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_LANDFALL"] == "a-secret"
    assert found["extra_hosts"] == ["host.docker.internal=host-gateway"]
    kept = {volume["target"] for volume in found["volumes"]}
    assert {environment["MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_LANDFALL"], found["command"][-1]} == kept


@pytest.mark.parametrize("secret", [{}, {"LANDFALL_WEBHOOK_SECRET": ""}])
def test_the_webhooks_secret_is_demanded(secret: dict[str, str]) -> None:
    result = config("minio", **secret)
    assert result.returncode != 0
    assert "LANDFALL_WEBHOOK_SECRET is missing a value: set it, or use make run STACK=minio" in result.stderr
