"""The README, followed by a stranger: its commands in its order, in a clean clone and a bare environment.

``.ci/run`` has this run twice: as an ordinary user, and as root in a folder that only root may enter, as in a fresh
container.
"""

import json
from collections.abc import Iterator

import pytest

from dev.configuration import EMULATOR_PORT_VARIABLE, POSTGRES_PORT_VARIABLE
from tests.support.stranger import Stranger
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def running(stranger: Stranger, blocks: dict[str, list[str]]) -> Iterator[Stranger]:
    """After the first of the two commands. It runs until all of these tests have used it."""
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


def test_the_commands_of_the_five_minutes_of_use_work(running: Stranger, blocks: dict[str, list[str]]) -> None:
    use = blocks["Five minutes of use"]
    session, upload, drop, direct, manage, user = use
    assert json.loads(running.run(session))["session_id"] == "test_123"
    assert [file["name"] for file in json.loads(running.run(upload))] == ["README.md"]

    running.run(drop)
    assert eventually(lambda: running.keys("drop/") == {"drop/read me.md", "drop/again.md"})

    running.run(direct)
    assert eventually(lambda: "README.md" in running.run(direct.splitlines()[-1]))

    running.run(manage)
    assert (running.clone / "copy.md").read_bytes() == (running.clone / "README.md").read_bytes()
    assert json.loads(running.run(user))["items"] == []


def test_the_commands_that_the_start_suggests_work(running: Stranger) -> None:
    output = (running.clone.parent / "landfall-make-run.out").read_text()

    tried = output.partition("Try, in another terminal:\n")[2].strip().splitlines()
    assert len(tried) == 4

    for command in tried:
        running.run(command)
    assert eventually(lambda: "README.md" in running.keys("README"))


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
    parameters = f"DatabaseUrl={database} DatabaseTls=off BucketName=landfall-stranger"

    output = running.run(deploy, YES="1", PARAMETERS=parameters, **cloud)
    assert "A file put into the bucket was in the database" in output
    assert "Landfall's stage dev is up." in output
    assert "All is well." in running.run(status, **cloud)
    assert "The stage dev is deleted." in running.run(destroy, YES="1", DATA="delete", **cloud)
