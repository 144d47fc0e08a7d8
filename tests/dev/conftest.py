"""Real instances of the local stack, each in a folder and on ports of its own."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.stack import Stack, ephemeral_stack
from tests.support.instances import Instance, NewInstance

# As in a terminal, also where the tests themselves were started by `nohup`, which every child would inherit.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def new_instance(tmp_path: Path) -> Iterator[NewInstance]:
    """Starts an instance; without a ``home`` in a folder of the test's own. All are ended after the test."""
    instances: list[Instance] = []

    def start(home: Path | None = None, command: str = "services", **environment: str) -> Instance:
        instances.append(Instance(home or tmp_path / "home", command, **environment))
        return instances[-1]

    yield start
    for instance in instances:
        if instance.process.poll() is None:
            instance.end()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A throw-away stack that the tests of a module share."""
    with ephemeral_stack(tmp_path_factory.mktemp("stack"), visibility_seconds=1) as stack:
        yield stack
