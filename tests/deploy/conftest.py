"""One package for all tests of packaging and templates."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.artifacts import TEMPLATE_TOOLS
from deploy.packaging import Package, package
from deploy.template import PROJECT
from dev.environments import ensure_environment

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
