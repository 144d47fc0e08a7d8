"""The stacks that end-to-end tests use, each started once."""

import os
from collections.abc import Iterator

import pytest

from dev.localstack import find_python
from tests.support import stacks
from tests.support.stacks import Stack

# A MinIO can't be had from a package index, so it is tested only where somebody names one.
_KINDS = ["local", "deployed", "localstack", *(["minio"] if os.environ.get("MINIO_ENDPOINT") else [])]


@pytest.fixture(scope="session", params=_KINDS)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Every kind of stack in turn."""
    home = tmp_path_factory.mktemp(request.param)
    if request.param == "deployed":
        with stacks.deployed(home) as (running, _):
            yield running
    elif request.param == "minio":
        with stacks.minio(home) as running:
            yield running
    elif request.param == "localstack":
        with stacks.local(home, _python_of_localstack()) as running:
            yield running
    else:
        with stacks.local(home) as running:
            yield running


def _python_of_localstack() -> str:
    """Its 290 MB are installed where somebody asked for it, as ``.ci/run`` does."""
    if not os.environ.get("LANDFALL_TEST_LOCALSTACK"):
        pytest.skip("LocalStack is tested with LANDFALL_TEST_LOCALSTACK=1; it takes 290 MB and Python 3.13")
    python = find_python()
    if python is None:
        pytest.skip("LocalStack 4.14 needs Python 3.13, which is not here")
    return python
