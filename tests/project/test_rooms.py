"""Rules of the house that no import contract can hold: see docs/architecture.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "chalicelib"
# What a database session can be asked to do.
_STATEMENTS = {"execute", "scalar", "scalars", "get", "get_one", "add", "add_all", "flush", "delete", "begin_nested"}
_FIRST = ("ctx", "tx", "work")
_MILLISECONDS = re.compile(r"#.*\b[Ss]aves \d+ ms")


def _modules(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders or ("",):
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text())


def _functions(module: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef))


def test_only_db_asks_the_database_anything() -> None:
    found = [
        f"{path}:{call.lineno}"
        for path, module in _modules("services", "api", "triggers", "store", "catalog")
        for call in ast.walk(module)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in _STATEMENTS
        and ast.unparse(call.func.value).endswith("session")
    ]
    assert found == []


def test_a_service_takes_a_context_and_at_most_four_more_parameters() -> None:
    found = []
    for path, module in _modules("services"):
        for function in _functions(module):
            arguments = function.args
            names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
            more = [name for name in names if name not in ("self", "cls", *_FIRST)]
            if len(more) > 4:
                found.append(f"{path}:{function.lineno} {function.name} takes {len(more)}")
    assert found == []


def test_no_module_reaches_into_the_private_names_of_another() -> None:
    found = [
        f"{path}:{node.lineno} {name.name}"
        for path, module in _modules()
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("chalicelib")
        for name in node.names
        if name.name.startswith("_")
    ]
    assert found == []


@pytest.mark.parametrize("path", [ROOT / "app.py", PACKAGE], ids=["app.py", "chalicelib"])
def test_an_import_hides_in_a_function_only_for_milliseconds_that_it_saves(path: Path) -> None:
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    found = []
    for file in files:
        if "migrations" in file.parts:
            continue
        text = file.read_text()
        lines = text.splitlines()
        hidden = {
            node.lineno
            for function in _functions(ast.parse(text))
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        for number in sorted(hidden):
            # On the line itself, or above a group of imports.
            above = [line for line in lines[max(0, number - 4) : number - 1] if "#" in line or "import" in line]
            if not any(_MILLISECONDS.search(line) for line in (lines[number - 1], *above)):
                found.append(f"{file.relative_to(ROOT)}:{number}")
    assert found == []
