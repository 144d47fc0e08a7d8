"""Clients that others generate from the OpenAPI document type-check, and do what they say.

Each generator's client lists files by their metadata, uploads one, and changes its tags alone, once too late.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.environments import Environment, ensure_environment
from tests.support import npm, stacks
from tests.support.stacks import Stack

HERE = Path(__file__).parent
GENERATE = {
    "openapi_typescript": ("node", "generate.mjs"),
    "hey_api": (
        "openapi-ts",
        "--input",
        "../openapi.json",
        "--output",
        "generated",
        "--client",
        "@hey-api/client-fetch",
    ),
    "orval": ("orval", "--config", "orval.config.mjs"),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stacks.local(tmp_path_factory.mktemp("clients-stack")) as running:
        yield running


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> npm.Packages:
    return npm.install(HERE / "typescript", tmp_path_factory.mktemp("logs"))


def expected(name: str) -> dict[str, object]:
    return {"found": ["hello.txt"], "late": "somebody else was faster", "tags": ["z"], "session": name}


@pytest.mark.parametrize("name", sorted(GENERATE))
def test_a_typescript_client(stack: Stack, packages: npm.Packages, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = packages.folder / name
    shutil.rmtree(folder / "generated", ignore_errors=True)
    (folder / "generated").mkdir()
    (packages.folder / "openapi.json").write_text(json.dumps(stack.get("/openapi.json")))
    monkeypatch.setenv("API", stack.api_url)
    generator, *arguments = GENERATE[name]
    run(packages, name, generator, *arguments)
    # With the example alone, so that one generator's mistakes are not another's.
    options = json.loads((HERE / "typescript" / "tsconfig.json").read_text())
    (folder / "tsconfig.json").write_text(json.dumps(options | {"include": ["example.ts", "generated/**/*.ts"]}))
    run(packages, name, "tsc", "--project", "tsconfig.json")
    run(
        packages,
        name,
        "esbuild",
        "example.ts",
        "--bundle",
        "--platform=node",
        "--format=esm",
        "--outfile=generated/run.mjs",
    )

    assert json.loads(run(packages, name, "node", "generated/run.mjs").splitlines()[-1]) == expected(name)


def test_a_python_client(stack: Stack, tmp_path: Path) -> None:
    python = ensure_environment(Environment("generator", "The generator of Python clients"), tmp_path)
    (tmp_path / "openapi.json").write_text(json.dumps(stack.get("/openapi.json")))
    environment = os.environ | {
        "API": stack.api_url,
        "ME": stack.get("/api/me")["id"],
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",  # it formats with the ruff beside it
        "MYPYPATH": "generated",
        "PYTHONPATH": "generated",
    }

    def in_folder(*command: str) -> str:
        result = subprocess.run(
            [str(python.with_name(command[0])), *command[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        assert "WARNING" not in result.stdout, result.stdout
        return result.stdout

    in_folder("openapi-python-client", "generate", "--path", "openapi.json", "--output-path", "generated")
    shutil.copy(HERE / "python" / "example.py", tmp_path)
    in_folder("mypy", "--strict", "example.py", "generated/landfall_client")

    assert json.loads(in_folder("python", "example.py")) == expected("openapi_python")


def run(packages: npm.Packages, name: str, program: str, *arguments: str) -> str:
    result = packages.run(program, *arguments, below=name)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
