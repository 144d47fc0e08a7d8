"""The stacks that end-to-end tests use, each started once."""

from collections.abc import Iterator

import pytest

from tests.e2e import worlds
from tests.e2e.stack import Stack


@pytest.fixture(scope="session", params=["local", "deployed"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Every kind of stack in turn."""
    home = tmp_path_factory.mktemp(request.param)
    if request.param == "deployed":
        with worlds.deployed(home) as (running, _):
            yield running
    else:
        with worlds.local(home) as running:
            yield running
