"""Keeps schemathesis from what no document can say, each with its reason. Loaded by test_schemathesis.py."""

import re
from typing import Any

import schemathesis

from chalicelib.api.schemas.files import MAX_WAIT_SECONDS
from chalicelib.catalog.parts import MAX_SINGLE_BYTES

_LETTER = re.compile(r"[^\W_]")
_INT64 = 1 << 63


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Change a request that would be refused, or taken, for a reason beside the document."""
    query = case.query or {}
    cursor = query.get("cursor")
    if isinstance(cursor, str):
        if len(cursor) <= 12_000:
            del query["cursor"]  # only the server makes cursors
        else:
            query["cursor"] = "x" * 12_001  # Python's own server answers URLs beyond 64 KiB itself (414)
    if str(query.get("wait", "")).isdecimal() and int(query["wait"]) <= MAX_WAIT_SECONDS:
        query["wait"] = 0  # there is nothing to wait for
    if isinstance(names := query.get("by"), str):
        query["by"] = ",".join(dict.fromkeys(names.split(",")))  # "each once" is beyond a pattern
    if query.get("sort") == "relevance":
        query.setdefault("q", "a")  # and here, whether another one is there
    if isinstance(words := query.get("q"), str) and words and not _LETTER.search(words):
        query["q"] = "a"  # letters and digits of every script: no pattern of JSON Schema's knows them
    for values in (query, query.get("metadata")):
        for name in values if isinstance(values, dict) else ():
            if name.endswith((":exists", ":exists]")):
                values[name] = "true"  # what a value may be depends on its name
    query.update({name: _storable(value) for name, value in query.items()})
    if isinstance(case.body, dict):
        case.body = _storable(case.body)
        if case.body.get("method") in ("put", "post") and isinstance(size := case.body.get("size"), int):
            # How large a file may be depends on how it is sent: schemas can say so, and no generator would follow.
            case.body["size"] = min(size, MAX_SINGLE_BYTES)


def _storable(value: Any) -> Any:
    """Free-form JSON as Postgres stores it: no NUL, no integer beyond 64 bits. A schema can't say so of what it leaves open."""
    if isinstance(value, dict):
        return {name.replace("\0", ""): _storable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_storable(member) for member in value]
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, int) and not isinstance(value, bool) and not -_INT64 <= value < _INT64:
        return value % _INT64
    return value
