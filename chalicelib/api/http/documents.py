"""JSON documents that clients send: what Postgres can't store in them is refused, and said in few words.

NUL characters, lone surrogates, NaN, integers beyond 64 bits.
"""

import json
import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NoReturn

from chalicelib.errors import FieldProblem, InvalidInput, MalformedBody

MAX_PROBLEMS = 100
_MAX_DEPTH = 64
# Uppy completes an upload with 10,000 parts of three values each.
_MAX_VALUES = 50_000
_LONGEST_FIELD = 500
_LONGEST_NAME = 80
_INT64 = 1 << 63
# Where a value is in a document: the path of what holds it, and its name or number there. Empty for the document itself.
_Path = tuple[Any, ...]


def parse_json(raw: bytes | str) -> Any:
    """A JSON document whose every value Postgres can store.

    Raises:
        MalformedBody: empty, not UTF-8, not JSON, a member named twice, or nested too deeply.
        InvalidInput: NUL characters, lone surrogates, integers beyond 64 bits; says where.
    """
    if not raw.strip():
        raise MalformedBody("The body is empty; a JSON document is expected.")
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        document = json.loads(text, parse_constant=_no_such_number, object_pairs_hook=_without_repetition)
    except UnicodeDecodeError:
        raise MalformedBody("The body is not UTF-8.") from None
    except RecursionError:
        raise MalformedBody("The body is nested too deeply.") from None
    except ValueError as error:
        raise MalformedBody(f"The body is not JSON: {error}.") from None
    problems = [FieldProblem("body", *told) for told in islice(unstorable(document), MAX_PROBLEMS)]
    if problems:
        refuse(problems)
    return document


def _no_such_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _without_repetition(members: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(members)
    if len(document) != len(members):
        raise ValueError("a member of an object is named twice")
    return document


def unstorable(document: Any) -> Iterator[tuple[str, str]]:
    """Dotted path and complaint of each value that JSON allows and Postgres doesn't.

    Raises:
        MalformedBody: it is nested too deeply, or holds more values than any request needs.
    """
    # The path of a value is made only if there is a complaint: a long name may have a hundred thousand values below it.
    rest: list[tuple[_Path, int, Any]] = [((), 0, document)]
    count = 1
    while rest:
        path, depth, value = rest.pop()
        if depth > _MAX_DEPTH:
            raise MalformedBody("The body is nested too deeply.")
        count += len(value) if isinstance(value, dict | list) else 0
        if count > _MAX_VALUES:
            raise MalformedBody(f"The body holds more than {_MAX_VALUES:,} values.")
        if isinstance(value, dict):
            for name, member in value.items():
                if complaint := complaint_about(name):
                    yield _dotted_path(path), f"Name of a member: {complaint}"
                rest.append(((path, name), depth + 1, member))
        elif isinstance(value, list):
            rest.extend(((path, index), depth + 1, member) for index, member in enumerate(value))
        elif complaint := complaint_about(value):
            yield _dotted_path(path), complaint


def _dotted_path(path: _Path) -> str:
    names: list[str] = []
    while path:
        path, name = path
        names.append(str(name)[:_LONGEST_NAME])
    return ".".join(reversed(names))


def complaint_about(value: Any) -> str | None:
    """Why Postgres can't store a single value; None if it can."""
    if isinstance(value, str):
        if "\0" in value:
            return "Holds a NUL character."
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            return "Holds half of a surrogate pair."
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return "Does not fit in 64 bits."
    if isinstance(value, float) and not math.isfinite(value):
        return "Is too large a number."
    return None


def refuse(problems: Iterable[FieldProblem]) -> NoReturn:
    """Raise `InvalidInput` that names the first `MAX_PROBLEMS` of these."""
    found = tuple(problems)
    names = ", ".join(dict.fromkeys(f"{problem.where} {problem.field}".strip() for problem in found[:5]))
    raise InvalidInput(
        f"Wrong: {printable(names)}{', …' if len(found) > 5 else ''}.",
        tuple(FieldProblem(p.where, printable(p.field), p.message) for p in found[:MAX_PROBLEMS]),
    )


def printable(text: str) -> str:
    """The beginning of a text that somebody has sent, as it may stand in an answer."""
    return text[:_LONGEST_FIELD].encode("utf-8", "replace").decode().replace("\0", "�")
