"""Page cursors. They are opaque to clients; one that a client has made up raises `InvalidCursor`."""

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any

from chalicelib.errors import InvalidCursor


def encode_values(*values: str | int | None) -> str:
    """A cursor of these values."""
    document = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    return urlsafe_b64encode(document.encode()).decode().rstrip("=")


def decode_values(cursor: str, list_name: str | int, count: int) -> list[Any]:
    """The values in a cursor, without its first one, which names the list that it is for.

    Postgres can take every text in it.

    Raises:
        InvalidCursor: it is no cursor, belongs to another list, or has another number of values.
    """
    try:
        found = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(found, list) or len(found) != count + 1 or found[0] != list_name:
            raise InvalidCursor
        for value in found:
            if isinstance(value, str):
                value.encode()  # a lone surrogate raises
                if "\0" in value:
                    raise InvalidCursor
    except (ValueError, RecursionError, binascii.Error):
        raise InvalidCursor from None
    return found[1:]


def moment_in(value: object) -> datetime:
    """A moment that a cursor holds, in UTC.

    Raises:
        InvalidCursor: it is none, says no time zone, or lies outside of the years 1 to 9999.
    """
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None or moment.tzinfo is None:
            raise InvalidCursor
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidCursor from None
