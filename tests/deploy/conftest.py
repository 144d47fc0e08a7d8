"""One package for all tests of packaging and templates."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.artifacts import TEMPLATE_TOOLS
from deploy.cloud import Cloud
from deploy.packaging import Package, package
from deploy.template import PROJECT
from dev.emulator import Emulator
from dev.environments import ensure_environment
from dev.ports import free_port

_BUCKET = "s3://landfall-artifacts"


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The stage ``prod``, as AWS gets it: for arm64, on whatever machine this is."""
    return package("prod", tmp_path_factory.mktemp("prod") / "out")


@pytest.fixture(scope="session")
def template_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python that has cfn-lint and the SAM translator."""
    return ensure_environment(TEMPLATE_TOOLS, tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="session")
def sam(packaged: Package) -> dict[str, Any]:
    """The packaged template, its zips in a bucket."""
    content = packaged.template.read_text().replace("./deployment.zip", f"{_BUCKET}/code.zip")
    template: dict[str, Any] = json.loads(content.replace("./layer-deployment.zip", f"{_BUCKET}/layer.zip"))
    return template


@pytest.fixture(scope="session")
def native(sam: dict[str, Any], template_python: Path) -> dict[str, Any]:
    """What CloudFormation makes of it: no SAM left."""
    command = [str(template_python), str(PROJECT / "deploy" / "sam.py"), "us-east-1"]
    result = subprocess.run(command, input=json.dumps(sam), capture_output=True, text=True, check=True)
    template: dict[str, Any] = json.loads(result.stdout)
    return template


@pytest.fixture(scope="session")
def emulator_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An emulator that the tests of the deployment share."""
    emulator = Emulator(tmp_path_factory.mktemp("emulator"), free_port())
    emulator.start()
    yield emulator.url
    emulator.stop()


@pytest.fixture
def cloud(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The same as a cloud."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return Cloud("000000000000", "us-east-1", emulator_url)
