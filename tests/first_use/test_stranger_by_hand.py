"""What else the README tells a stranger to type, while no stack is running: the services alone, and packages."""

import shutil

from dev.configuration import API_PORT_VARIABLE
from dev.ports import answers
from tests.support.stranger import USUAL_PORTS, Stranger
from tests.support.waiting import eventually


def test_the_api_runs_by_hand_beside_the_services(
    stranger: Stranger, blocks: dict[str, list[str]], ports: dict[str, int]
) -> None:
    [debug] = blocks["Debug"]

    services, by_hand = [line.partition(" #")[0].strip() for line in debug.splitlines()]
    assert services == "make services"

    terminal = stranger.start(services)
    try:
        terminal.wait_for("Landfall is up")
        if ports != USUAL_PORTS:  # then it prints the line to use
            by_hand = next(line.strip() for line in terminal.output.splitlines() if "chalice local" in line)
        api = stranger.start(by_hand)
        try:
            assert eventually(lambda: answers(ports[API_PORT_VARIABLE]))
            assert stranger.keys("drop/")
        finally:
            api.press_ctrl_c()
    finally:
        terminal.press_ctrl_c()


def test_a_package_is_the_same_on_every_machine(stranger: Stranger) -> None:
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
