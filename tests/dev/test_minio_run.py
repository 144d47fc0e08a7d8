"""`make run STACK=minio` with a real MinIO: nothing is lost or doubled, whoever is down meanwhile."""

import json
from collections.abc import Callable
from socket import create_server
from typing import Any

import psutil
import pytest
import urllib3
import yaml

from dev.configuration import PROJECT, Configuration
from dev.infra import client
from dev.minio import MinIO
from tests.support.instances import Instance, NewInstance
from tests.support.lacking import minio_program
from tests.support.ports import free_ports
from tests.support.waiting import eventually

BUCKET = "landfall-local"


# Starts an instance with further variables.
Start = Callable[..., Instance]


@pytest.fixture
def start(new_instance: NewInstance) -> Start:
    """Starts the stack on MinIO's program, or on the MinIO at ``MINIO_ENDPOINT``."""
    minio = minio_program()
    (webhook_port,) = free_ports(1)
    always = {"LANDFALL_STACK": "minio", "MINIO_BINARY": minio, "LANDFALL_WEBHOOK_PORT": str(webhook_port)}
    return lambda **variables: new_instance(command="run", **always | variables).wait_until_up()


def s3(url: str) -> Any:
    return client("s3", url, "test", "testtest", s3={"addressing_style": "path"})


def bucket(url: str) -> dict[str, tuple[str, int, str]]:
    """Version id, size and ETag of every object in the bucket by its key."""
    versions = s3(url).list_object_versions(Bucket=BUCKET).get("Versions", [])
    return {v["Key"]: (v["VersionId"], v["Size"], v["ETag"].strip('"')) for v in versions if v["IsLatest"]}


def put(url: str, *keys: str) -> None:
    for key in keys:
        s3(url).put_object(Bucket=BUCKET, Key=key, Body=key.encode(), ContentType="text/plain")


def test_a_first_use(start: Start) -> None:
    instance = start()
    assert "MinIO" in instance.output
    assert instance.url("EMULATOR") in instance.output

    session = urllib3.request("POST", instance.url("API") + "/api/session", json={"session_id": "test_123"})
    assert session.status == 201, session.data
    put(instance.url("EMULATOR"), "drop/read me.md")
    assert eventually(lambda: "drop/read me.md" in instance.catalogue())
    fields = {"file": ("note.txt", b"hello"), "session_id": "test_123"}
    uploaded = urllib3.request("POST", instance.url("API") + "/api/files/upload", fields=fields)
    assert uploaded.status == 201, uploaded.data
    (link,) = [item["id"] for item in uploaded.json()]
    assert urllib3.request("GET", instance.url("API") + f"/api/files/{link}/download").data == b"hello"

    assert instance.catalogue() == bucket(instance.url("EMULATOR"))
    assert instance.end() < 6
    assert (instance.process.returncode, instance.errors, instance.remains()) == (0, "", [])

    again = start(**instance.environment)
    assert again.catalogue() == bucket(again.url("EMULATOR"))
    assert len(again.catalogue()) == 2


def test_minio_is_set_as_its_container_is(start: Start) -> None:
    """But for addresses and folders; and it asks nobody for a newer release."""
    instance = start()
    pid = json.loads((instance.home / "run" / "minio.json").read_text())["pid"]
    variables = {name: value for name, value in psutil.Process(pid).environ().items() if name.startswith("MINIO_")}
    container = yaml.safe_load((PROJECT / "docker-compose.localstack.yml").read_text())["services"]["minio"]

    def of_a_container(name: str) -> bool:
        return not name.endswith(("_ENDPOINT_LANDFALL", "_DIR_LANDFALL", "_TOKEN_LANDFALL"))

    assert variables.keys() - container["environment"].keys() == {"MINIO_BROWSER", "MINIO_UPDATE"}
    assert container["environment"].keys() <= variables.keys()
    same = filter(of_a_container, container["environment"])
    assert all(variables[name] == container["environment"][name] for name in same)


def test_the_catalogue_of_minio_is_not_that_of_the_embedded_emulator(start: Start, new_instance: NewInstance) -> None:
    instance = start()
    put(instance.url("EMULATOR"), "in minio")
    assert eventually(lambda: "in minio" in instance.catalogue())
    instance.end()

    embedded = new_instance(command="run", **instance.environment | {"LANDFALL_STACK": "embedded"}).wait_until_up()
    assert embedded.catalogue() == {}


def alone(instance: Instance) -> MinIO:
    """The MinIO that this instance had, with its data, to be up by itself."""
    options = Configuration.from_environment(instance.environment)
    home = instance.home.with_name("minio-alone")  # a start ends what it finds running in its own home
    (home / "minio").mkdir(parents=True)
    for part in ("data", "events"):
        (instance.home / "minio" / part).rename(home / "minio" / part)
    secret = (instance.home / "webhook-secret").read_text()
    return MinIO(minio_program(), home, options.emulator_port, options.webhook_port, secret)


def test_objects_that_come_while_landfall_is_down_are_recorded_once(start: Start) -> None:
    first = start()
    put(first.url("EMULATOR"), "before")
    assert eventually(lambda: "before" in first.catalogue())
    first.end()

    # MinIO stays up on its own, and its events wait in its folder, also while it is started anew.
    minio = alone(first)
    unanswered = len(minio.waiting)  # 1 if all was stopped between recording the event and MinIO's hearing of that
    try:
        minio.start()
        put(minio.url, "meanwhile", "before")
        minio.stop()
        assert len(minio.waiting) == unanswered + 2
        minio.start()
        put(minio.url, "meanwhile too")
        s3(minio.url).delete_object(Bucket=BUCKET, Key="meanwhile")
        assert len(minio.waiting) == unanswered + 4

        second = start(**first.environment, MINIO_ENDPOINT=minio.url)
        assert eventually(lambda: minio.waiting == [])
        assert eventually(lambda: second.catalogue() == bucket(minio.url))
        assert second.catalogue().keys() == {"before", "meanwhile too"}
        assert (second.changes("before").count("put"), second.changes("meanwhile too").count("put")) == (2, 1)
        second.end()
        assert (second.process.returncode, second.errors) == (0, "")
        assert len(bucket(minio.url)) == 2, "a MinIO that was up stays up"
    finally:
        minio.stop()


def test_a_minio_that_is_killed_right_after_puts_loses_and_doubles_nothing(start: Start) -> None:
    first = start()
    first.end()
    minio = alone(first)
    keys = [f"stream/{number:03}" for number in range(40)]
    try:
        minio.start()
        second = start(**first.environment, MINIO_ENDPOINT=minio.url)
        put(minio.url, *keys[:20])
        minio.kill()
        minio.start()
        put(minio.url, *keys[20:])
        minio.kill()
        minio.start()

        assert eventually(lambda: minio.waiting == [])
        assert eventually(lambda: second.catalogue().keys() == set(keys))
        assert second.catalogue() == bucket(minio.url)
        assert [second.changes(key).count("put") for key in keys] == [1] * len(keys)
    finally:
        minio.stop()


def test_a_program_that_is_not_there_is_named_in_a_sentence(new_instance: NewInstance) -> None:
    instance = new_instance(LANDFALL_STACK="minio", MINIO_BINARY="/nowhere/minio")
    assert instance.process.wait(20) == 1
    assert instance.errors == "landfall: MINIO_BINARY is /nowhere/minio, where there is no program.\n"


def test_a_taken_port_of_minio_is_named(new_instance: NewInstance) -> None:
    with create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        instance = new_instance(LANDFALL_STACK="minio", MINIO_BINARY=minio_program(), LANDFALL_EMULATOR_PORT=port)
        assert instance.process.wait(20) == 1
    assert f"Port {port} (MinIO) is taken by another program" in instance.errors
    assert "LANDFALL_EMULATOR_PORT" in instance.errors
