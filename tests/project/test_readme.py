"""The README's commands are the real ones."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_every_make_command_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert {"run", "test", "services"} <= mentioned <= targets


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(target in shown for target in ("run", "test", "check", "services", "bench"))


def test_ci_calls_the_readmes_test_command() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_every_path_that_the_readme_curls_is_a_route() -> None:
    from app import app

    patterns = [
        re.sub(r"{\w+}", "[^/]+", path) for path in app.routes if path.startswith(("/api", "/docs", "/openapi"))
    ]
    paths = re.findall(r"http://localhost:8000(/[^\s\"'>?]*)", README)
    assert len(paths) > 10
    for path in paths:
        assert any(re.fullmatch(pattern, path) for pattern in patterns), path


def test_every_file_that_the_docs_link_to_exists() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_import_contracts_are_kept() -> None:
    from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == EXIT_STATUS_SUCCESS
