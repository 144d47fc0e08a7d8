"""The README, followed by a stranger: its commands in its order, in a clean clone and a bare environment.

``.ci/run`` has this run twice: as root in a folder that only root may enter, as in a fresh container, and as an ordinary user.
"""

import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from dev.configuration import API_PORT_VARIABLE, EMULATOR_PORT_VARIABLE, POSTGRES_PORT_VARIABLE, PROJECT, Configuration
from dev.environments import Environment, ensure_environment
from dev.ports import answers
from tests.first_use.stranger import Stranger
from tests.support.ports import free_ports
from tests.support.waiting import eventually

_USUAL_PORTS = {
    API_PORT_VARIABLE: Configuration.api_port,
    EMULATOR_PORT_VARIABLE: Configuration.emulator_port,
    POSTGRES_PORT_VARIABLE: Configuration.postgres_port,
}


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    """The usual ones, unless somebody's own stack has them."""
    taken = any(answers(port) for port in _USUAL_PORTS.values())
    return dict(zip(_USUAL_PORTS, free_ports(len(_USUAL_PORTS)), strict=True)) if taken else _USUAL_PORTS


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Stranger:
    folder = tmp_path_factory.mktemp("stranger")
    (tools := folder / "tools").mkdir()
    clients = ensure_environment(Environment("clients", "What tests drop files with"), folder)
    (tools / "aws").symlink_to(clients.with_name("aws"))
    return Stranger(folder, ports, tools)


@pytest.fixture(scope="module")
def blocks(ports: dict[str, int]) -> dict[str, list[str]]:
    """The README's shell blocks by their sections, told of the ports if they are not the usual ones."""
    found: dict[str, list[str]] = {}
    text = (PROJECT / "README.md").read_text()
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        found[section.partition("\n")[0]] = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    chosen = {f":{usual}": f":{ports[name]}" for name, usual in _USUAL_PORTS.items()}
    any_usual = re.compile(rf"({'|'.join(chosen)})\b")
    return {
        section: [any_usual.sub(lambda port: chosen[port[1]], code) for code in codes]
        for section, codes in found.items()
    }


@pytest.fixture
def running(stranger: Stranger, blocks: dict[str, list[str]]) -> Iterator[Stranger]:
    """After the first of the two commands."""
    [start] = blocks["Start"]
    commands = [line.partition("#")[0].strip() for line in start.splitlines()]
    assert commands == ["make run", "make test"]  # the second of which runs this
    terminal = stranger.start(commands[0])
    try:
        terminal.wait_for("Landfall is up")
        yield stranger
    finally:
        terminal.press_ctrl_c()
    assert "Stopping." in terminal.output


def test_the_commands_of_the_five_minutes_of_use_work(
    running: Stranger, blocks: dict[str, list[str]], ports: dict[str, int]
) -> None:
    use = blocks["Five minutes of use"]
    session, upload, drop, direct, manage, user = use
    assert json.loads(running.run(session))["session_id"] == "test_123"
    assert [file["name"] for file in json.loads(running.run(upload))] == ["README.md"]

    running.run(drop)
    assert eventually(lambda: _keys(running, ports, "drop/") == {"drop/read me.md", "drop/again.md"})

    running.run(direct)
    assert eventually(lambda: "README.md" in running.run(direct.splitlines()[-1]))

    running.run(manage)
    assert (running.clone / "copy.md").read_bytes() == (running.clone / "README.md").read_bytes()
    assert json.loads(running.run(user))["items"] == []


def test_the_commands_that_the_start_suggests_work(running: Stranger, ports: dict[str, int]) -> None:
    output = (running.clone.parent / "landfall-make-run.out").read_text()

    tried = output.partition("Try, in another terminal:\n")[2].strip().splitlines()
    assert len(tried) == 4

    for command in tried:
        running.run(command)
    assert eventually(lambda: "README.md" in _keys(running, ports, "README"))


def test_the_api_runs_by_hand_beside_the_services(
    stranger: Stranger, blocks: dict[str, list[str]], ports: dict[str, int]
) -> None:
    [debug] = blocks["Debug"]

    services, by_hand = [line.partition(" #")[0].strip() for line in debug.splitlines()]
    assert services == "make services"

    terminal = stranger.start(services)
    try:
        terminal.wait_for("Landfall is up")
        if ports != _USUAL_PORTS:  # then it prints the line to use
            by_hand = next(line.strip() for line in terminal.output.splitlines() if "chalice local" in line)
        api = stranger.start(by_hand)
        try:
            assert eventually(lambda: answers(ports[API_PORT_VARIABLE]))
            assert _list(stranger, ports, "drop/")
        finally:
            api.press_ctrl_c()
    finally:
        terminal.press_ctrl_c()


def test_a_package_is_the_same_on_every_machine(stranger: Stranger, blocks: dict[str, list[str]]) -> None:
    """Bytecode of the runs before lies about by now, as it does on every machine that doesn't forbid it."""
    assert list(stranger.clone.glob("chalicelib/**/*.pyc"))

    output = stranger.run("make package STAGE=dev")
    assert "deployment.zip" in output

    first = (stranger.clone / "out" / "deployment.zip").read_bytes()
    shutil.rmtree(stranger.clone / "out")
    for folder in list(stranger.clone.glob("chalicelib/**/__pycache__")):
        shutil.rmtree(folder)
    stranger.run("make package STAGE=dev", PYTHONDONTWRITEBYTECODE="1")

    assert (stranger.clone / "out" / "deployment.zip").read_bytes() == first


def test_a_stage_is_deployed_looked_at_and_destroyed(
    running: Stranger, blocks: dict[str, list[str]], ports: dict[str, int]
) -> None:
    """Into the emulator of the local stack; for AWS, the environment would name no endpoint."""
    [commands] = blocks["Deploy"]
    deploy, status, destroy = (line.partition("#")[0].strip() for line in commands.splitlines())
    database = f"postgresql+pg8000://landfall@127.0.0.1:{ports[POSTGRES_PORT_VARIABLE]}/landfall"
    cloud = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports[EMULATOR_PORT_VARIABLE]}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    parameters = f"DatabaseUrl={database} DatabaseTls=off BucketName=landfall-stranger Identity=demo"

    output = running.run(deploy, YES="1", PARAMETERS=parameters, **cloud)
    assert "A file put into the bucket was in the API's list" in output
    assert "Landfall's stage dev is up." in output
    assert "All is well." in running.run(status, **cloud)
    assert "The stage dev is deleted." in running.run(destroy, YES="1", DATA="delete", **cloud)


def _list(stranger: Stranger, ports: dict[str, int], prefix: str) -> list[Any]:
    # `chalice local` by hand may restart once more at its first start: see `watch_sources_only`.
    patient = "curl --retry 5 --retry-all-errors --retry-delay 1"
    answer = stranger.run(f"{patient} 'http://localhost:{ports[API_PORT_VARIABLE]}/api/files?prefix={prefix}'")
    return list(json.loads(answer)["items"])


def _keys(stranger: Stranger, ports: dict[str, int], prefix: str) -> set[str]:
    return {item["key"] for item in _list(stranger, ports, prefix)}
