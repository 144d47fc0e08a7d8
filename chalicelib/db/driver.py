"""Workarounds for pg8000 1.31: https://codeberg.org/tlocke/pg8000."""

import socket
from functools import lru_cache
from typing import Any

from pg8000 import converters, dbapi, legacy


@lru_cache(maxsize=1024)
def _numbered(query: str) -> str:
    """``query`` with ``$1`` for ``%s``."""
    statement, _ = dbapi.convert_paramstyle("format", query, ())
    return str(statement)


def _convert_paramstyle(style: str, query: str, args: Any) -> tuple[str, Any]:
    return (_numbered(query), args) if style == "format" else dbapi.convert_paramstyle(style, query, args)


def remember_statements() -> None:
    """Convert the placeholders of each statement only once in a process.

    pg8000 reads every statement character by character at every execution (`dbapi.convert_paramstyle`): 1.6 ms for one
    of recording's, 0.35 ms for a list's. In SQLAlchemy's style the result depends on the statement alone.
    """
    legacy.convert_paramstyle = _convert_paramstyle


def quote_elements() -> None:
    """Quote every element of an array of texts.

    pg8000 quotes only the elements that seem to need it (`converters.array_string_escape`), and ``null`` isn't among
    them. Postgres reads it as NULL, in upper or lower case: a tag or key of that name was lost.
    """
    converters.array_string_escape = _quoted


def _quoted(element: str) -> str:
    escaped = element.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def send_at_once(connection: Any) -> None:
    """Turn Nagle's algorithm off.

    pg8000 leaves it on and writes a large statement in several pieces: the last one then waits for the server's delayed
    acknowledgement, 40 ms on Linux, for every batch of about 30 events or more. There is no option for this, so we use
    pg8000's private socket (`CoreConnection._usock`). If there is none, nothing is done.
    """
    link = getattr(connection, "_usock", None)
    if link is not None and link.family != getattr(socket, "AF_UNIX", None):
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
