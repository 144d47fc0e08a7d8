"""A time limit on queries that a caller's own filters make."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from chalicelib.db.outages import sqlstate
from chalicelib.errors import TooBroad

_SET_TIMEOUT = text("SELECT set_config('statement_timeout', :milliseconds, true)")
_CANCELLED = "57014"


@contextmanager
def within(session: Session, seconds: float, statements: int = 1) -> Iterator[None]:
    """Give ``statements`` statements an equal share of ``seconds`` each. The limit lasts until the transaction ends.

    No index serves every combination of filters, so some of them read every row. A caller who asks for one gets an
    error, and doesn't keep the database busy.

    Raises:
        TooBroad: one of them took longer. The transaction can't be used any more.
    """
    session.execute(_SET_TIMEOUT, {"milliseconds": str(int(seconds * 1000 / statements))})
    try:
        yield
    except DBAPIError as error:
        if sqlstate(error.orig) != _CANCELLED:
            raise
        raise TooBroad(
            f"Finding this takes longer than {seconds:g} s. Narrow it: by key, prefix, folder, tag, session, owner or times."
        ) from error


# Processes that help with a statement take some milliseconds to start, and read more than a LIMIT asks for.
_SET_ATTEMPT = text("""
SELECT set_config('statement_timeout', :milliseconds, true), set_config('max_parallel_workers_per_gather', '0', true)
""")


def attempt(session: Session, seconds: float, statement: TextClause, values: Mapping[str, Any]) -> Row[Any] | None:
    """The one row of a statement that only reads; None if it takes longer. The transaction goes on either way.

    Rolling back to the savepoint also puts the former settings back.
    """
    savepoint = session.connection().begin_nested()
    try:
        session.execute(_SET_ATTEMPT, {"milliseconds": str(max(1, int(seconds * 1000)))})
        return session.execute(statement, values).one()
    except DBAPIError as error:
        if sqlstate(error.orig) != _CANCELLED:
            raise
        return None
    finally:
        savepoint.rollback()
