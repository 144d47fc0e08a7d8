"""How long a JSON document is once Postgres has stored it."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any


def printed_bytes(document: Any) -> int:
    """Bytes of a JSON document as Postgres prints it, not counting blanks. Postgres prints numbers without an exponent.

    >>> printed_bytes({"a": 1e20, "b": "é"})
    36
    """
    written = len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())
    return written + sum(len(f"{Decimal(repr(number)):f}") - len(repr(number)) for number in _floats(document))


def _floats(document: Any) -> Iterator[float]:
    rest = [document]
    while rest:
        value = rest.pop()
        if isinstance(value, float):
            yield value
        elif isinstance(value, dict):
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
