"""Which services a stack uses, and what is said when they can't be had."""

import re
import socket
from pathlib import Path

import pytest
import yaml

from dev.configuration import PROJECT, Configuration
from dev.ports import answers
from dev.problem import StackProblem
from dev.services import ContainerServices, EmbeddedServices, EndpointServices, MinioServices, services_for
from dev.stack import ephemeral_emulator, ephemeral_postgres
from tests.support.instances import Instance, NewInstance
from tests.support.ports import free_ports


def _configuration(**environ: str) -> Configuration:
    return Configuration.from_environment(environ)


def test_the_embedded_services_are_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # with no MinIO
    assert isinstance(services_for(_configuration()), EmbeddedServices)
    for name, delivery in (("localstack", "dev.delivery"), ("minio", "dev.webhook")):
        services = services_for(_configuration(LANDFALL_STACK=name))
        assert isinstance(services, ContainerServices)
        assert services.delivery_module == delivery


def test_a_store_that_is_up_somewhere_needs_no_container() -> None:
    services = services_for(_configuration(LANDFALL_STACK="minio", MINIO_ENDPOINT="http://nas:9000"))
    assert isinstance(services, EndpointServices)
    assert services.delivery_module == "dev.webhook"


@pytest.mark.parametrize("stack", ["ceph", "minio"])
def test_a_store_that_is_up_has_a_postgres_of_its_own(tmp_path: Path, stack: str) -> None:
    """One that is up may hold the catalogue of another store, whose files would all be found to be gone."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        names = {"CEPH_ENDPOINT": "http://nas:7480", "CEPH_ACCESS_KEY": "key", "CEPH_SECRET_KEY": "secret"}
        names |= {"MINIO_ENDPOINT": "http://nas:9000"}
        ports = {"LANDFALL_POSTGRES_PORT": str(taken.getsockname()[1]), "LANDFALL_WEBHOOK_PORT": str(free_ports(1)[0])}
        services = services_for(_configuration(LANDFALL_STACK=stack, LANDFALL_HOME=str(tmp_path), **names, **ports))

        with pytest.raises(StackProblem, match="LANDFALL_POSTGRES_PORT"):
            services.require_ports()


def test_a_program_of_minio_needs_no_container_either(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "minio").touch(mode=0o755)
    assert isinstance(services_for(_configuration(LANDFALL_STACK="minio")), MinioServices)

    up = _configuration(LANDFALL_STACK="minio", MINIO_ENDPOINT="http://nas:9000")
    assert not isinstance(services_for(up), MinioServices)


def test_an_unknown_stand_in_is_named() -> None:
    with pytest.raises(StackProblem, match="one of embedded, localstack, minio, ceph, and is 'azure'"):
        _configuration(LANDFALL_STACK="azure")


def test_minio_may_be_anywhere_and_have_keys_of_its_own() -> None:
    minio = _configuration(LANDFALL_STACK="minio", MINIO_ENDPOINT="http://nas:9000/", MINIO_ROOT_PASSWORD="long-enough")
    assert minio.emulator_url == "http://nas:9000"

    environment = minio.child_environment("", {})
    assert environment["AWS_ENDPOINT_URL"] == "http://nas:9000"
    assert (environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]) == ("test", "long-enough")


@pytest.mark.parametrize("stand_in", ["localstack", "minio"])
def test_a_stand_in_without_docker_says_what_it_needs(new_instance: NewInstance, tmp_path: Path, stand_in: str) -> None:
    instance: Instance = new_instance(LANDFALL_STACK=stand_in, PATH=str(tmp_path))
    instance.process.wait(20)

    assert instance.process.returncode == 1
    assert f"STACK={stand_in} needs Docker with Compose, or both services up already" in instance.errors
    assert "Traceback" not in instance.errors


def test_services_that_are_up_already_are_used_and_left_up(new_instance: NewInstance, tmp_path: Path) -> None:
    """An emulator of our own stands in for LocalStack: to the supervisor it is an endpoint."""
    with ephemeral_emulator(tmp_path / "a") as emulator, ephemeral_postgres(tmp_path / "b") as postgres:
        instance = new_instance(
            LANDFALL_STACK="localstack",
            LANDFALL_EMULATOR_PORT=str(emulator.port),
            LANDFALL_POSTGRES_PORT=str(postgres.port),
        ).wait_until_up()
        instance.end()

        assert (instance.process.returncode, instance.errors) == (0, "")
        assert answers(emulator.port)
        assert answers(postgres.port)


def test_the_compose_file_publishes_on_the_loopback_interface_only_and_pins_its_images() -> None:
    services = yaml.safe_load((PROJECT / "docker-compose.localstack.yml").read_text())["services"]
    assert {name: service["profiles"] for name, service in services.items()} == {
        "postgres": ["localstack", "minio"], "localstack": ["localstack"], "minio": ["minio"],
    }  # fmt: skip
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert re.search(r":[^/]*\d", service["image"]), name
        assert service["healthcheck"]["test"][0] == "CMD", name
    assert "@sha256:" in services["minio"]["image"]
