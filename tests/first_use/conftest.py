"""A stranger with a clean clone, and what the README tells it to type."""

import re

import pytest

from dev.configuration import PROJECT
from dev.environments import Environment, ensure_environment
from dev.ports import answers
from tests.support.ports import free_ports
from tests.support.stranger import USUAL_PORTS, Stranger


@pytest.fixture(scope="session")
def ports() -> dict[str, int]:
    """The usual ones, unless somebody's own stack has them."""
    taken = any(answers(port) for port in USUAL_PORTS.values())
    return dict(zip(USUAL_PORTS, free_ports(len(USUAL_PORTS)), strict=True)) if taken else USUAL_PORTS


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Stranger:
    folder = tmp_path_factory.mktemp("stranger")
    (tools := folder / "tools").mkdir()
    clients = ensure_environment(Environment("clients", "What tests drop files with"), folder)
    (tools / "aws").symlink_to(clients.with_name("aws"))
    return Stranger(folder, ports, tools)


@pytest.fixture(scope="session")
def blocks(ports: dict[str, int]) -> dict[str, list[str]]:
    """The README's shell blocks by their sections, told of the ports if they are not the usual ones."""
    found: dict[str, list[str]] = {}
    text = (PROJECT / "README.md").read_text()
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        found[section.partition("\n")[0]] = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    chosen = {f":{usual}": f":{ports[name]}" for name, usual in USUAL_PORTS.items()}
    any_usual = re.compile(rf"({'|'.join(chosen)})\b")
    return {
        section: [any_usual.sub(lambda port: chosen[port[1]], code) for code in codes]
        for section, codes in found.items()
    }
