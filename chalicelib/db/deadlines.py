"""A limit on how long Postgres may read what a caller's own filters ask for."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from chalicelib.db.engine import sqlstate
from chalicelib.errors import TooBroad

_SET_TIMEOUT = text("SELECT set_config('statement_timeout', :milliseconds, true)")
_CANCELLED = "57014"


@contextmanager
def within(session: Session, seconds: float, statements: int = 1) -> Iterator[None]:
    """Give so many statements so many seconds together. The limit lasts until the transaction ends.

    No index knows every combination of filters, so some of them read every row. Whoever asks for one is told so, and keeps the
    database from nobody else.

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
