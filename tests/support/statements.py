"""What is sent to Postgres, by whatever way."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from pg8000 import legacy

# A statement and its values.
Sent = tuple[str, Any]


@contextmanager
def noting_statements() -> Iterator[list[Sent]]:
    """A list that grows by each statement that this thread hands to the driver, with its values."""
    sent: list[Sent] = []
    asking, execute = get_ident(), legacy.Cursor.execute

    def note(cursor: Any, operation: str, args: Any = (), stream: Any = None) -> Any:
        if get_ident() == asking:
            sent.append((operation, args))
        return execute(cursor, operation, args, stream)

    legacy.Cursor.execute = note
    try:
        yield sent
    finally:
        legacy.Cursor.execute = execute
