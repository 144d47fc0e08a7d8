"""Messages of PostgreSQL's protocol: https://www.postgresql.org/docs/18/protocol-message-formats.html."""

import struct

from pg8000 import core

NOTHING = b"\0"  # an empty name: the unnamed statement, the unnamed portal
_NULL = struct.pack("!i", -1)


def message(code: bytes, content: bytes = b"") -> bytes:
    return code + struct.pack("!i", len(content) + 4) + content


EXECUTE = message(core.EXECUTE, NOTHING + bytes(4))
DESCRIBE = message(core.DESCRIBE, core.PORTAL + NOTHING)
SYNC = message(core.SYNC)


def parse(name: bytes, statement: str) -> bytes:
    """The server finds out the types of the values by itself."""
    return message(core.PARSE, name + statement.encode() + b"\0" + bytes(2))


def bind(name: bytes, values: list[str | None]) -> bytes:
    """All values as texts, and all columns of the answer as texts."""
    parts = [NOTHING, name, struct.pack("!HH", 0, len(values))]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            encoded = value.encode()
            parts += (struct.pack("!i", len(encoded)), encoded)
    return message(core.BIND, b"".join((*parts, bytes(2))))
