"""Counting what a connection sends."""

from typing import Any

from sqlalchemy import Engine


class CountingSocket:
    """A connection's socket that counts the messages that leave. The server's answer to each is waited for."""

    def __init__(self, link: Any) -> None:
        self._link, self.sent = link, 0

    def flush(self) -> None:
        self.sent += 1
        self._link.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)


def count_messages(engine: Engine) -> CountingSocket:
    """The socket of the one connection that the engine's pool has; it is opened if there is none."""
    with engine.connect() as connection:
        link: Any = connection.connection.dbapi_connection
        link._sock = counting = CountingSocket(link._sock)
        return counting
