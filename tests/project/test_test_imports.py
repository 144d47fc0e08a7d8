"""What tests share is in tests/support: nothing imports a test module or a conftest."""

import ast
from collections.abc import Iterator

import pytest

from dev.configuration import PROJECT

FILES = sorted(path for folder in ("tests", "bench", "chaos") for path in (PROJECT / folder).rglob("*.py"))


def imported_names(source: str) -> Iterator[str]:
    """Every dotted name that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


def is_forbidden(module: str) -> bool:
    return module == "conftest" or module.startswith("test_")


def forbidden(source: str) -> list[str]:
    """The imports of a test module or of a conftest."""
    return [name for name in imported_names(source) if any(map(is_forbidden, name.split(".")))]


def test_no_module_imports_a_test_module_or_a_conftest() -> None:
    found = {str(path.relative_to(PROJECT)): forbidden(path.read_text()) for path in FILES}
    assert len(found) > 100
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import tests.api.test_files",
        "from tests.api import test_files",
        "from tests.api.test_files import upload",
        "from tests.api.conftest import Api",
        "from . import conftest",
        "def later():\n    from tests.api.conftest import Api",
    ],
)
def test_every_way_to_import_one_is_noticed(source: str) -> None:
    assert forbidden(source) != []


def test_test_modules_have_different_names() -> None:
    names = [path.name for path in FILES if path.name.startswith("test_")]
    assert [name for name in names if names.count(name) > 1] == []
