"""The tree of errors that errors.py draws is the whole tree."""

import importlib
import pkgutil
import re

import chalicelib
from chalicelib import errors


def _subclasses(kind: type) -> list[tuple[str, str]]:
    children = sorted(kind.__subclasses__(), key=lambda child: child.__name__)
    return [pair for child in children for pair in [(child.__name__, kind.__name__), *_subclasses(child)]]


def test_the_drawn_tree_has_every_error_under_its_parent() -> None:
    for module in pkgutil.walk_packages(chalicelib.__path__, "chalicelib."):
        if ".migrations" not in module.name:
            importlib.import_module(module.name)
    drawn, parents = set(), ["LandfallError"]
    for indent, name in re.findall(r"^    ([│ ]*)[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4 + 1
        drawn.add((name, parents[depth - 1]))
        parents[depth:] = [name]

    assert drawn == set(_subclasses(errors.LandfallError))
