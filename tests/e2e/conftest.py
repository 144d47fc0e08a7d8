"""The stacks that end-to-end tests use, each started once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.deployment import Deployment
from dev.localstack import find_python
from tests.support import stacks
from tests.support.lacking import ceph_variables, minio_program
from tests.support.stacks import Stack

_HERE = Path(__file__).parent
_KINDS = ["local", "deployed", "localstack", "minio", "ceph"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The life of the deployed stage comes after all that uses the stage: it ends with its deletion."""
    of_life = [item for item in items if item.path == _HERE / "test_deployment.py"]
    others = [item for item in items if item not in of_life]
    places = [place for place, item in enumerate(others) if item.path.parent == _HERE]
    after = places[-1] + 1 if places else len(others)
    items[:] = [*others[:after], *of_life, *others[after:]]


@pytest.fixture(scope="session")
def deployed_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Deployment]]:
    """The one deployed stage of a run."""
    with stacks.deployed(tmp_path_factory.mktemp("deployed")) as running:
        yield running


@pytest.fixture(scope="session", params=_KINDS)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Every kind of stack in turn."""
    if request.param == "deployed":
        yield request.getfixturevalue("deployed_stage")[0]
        return
    home = tmp_path_factory.mktemp(request.param)
    if request.param == "minio":
        with stacks.minio(home, minio_program()) as running:
            yield running
    elif request.param == "ceph":
        with stacks.ceph(home, ceph_variables()) as running:
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
