"""Use cases: plain functions that take a session, a principal and a command. They flush; whoever called commits.

One that also acts on the object store takes a `Transaction` instead: it opens as many as it needs, none of them while S3 is
at work.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session as Session

from chalicelib.db.refusals import is_deadlock

Transaction = Callable[[], AbstractContextManager[Session]]
_T = TypeVar("_T")


def in_transaction(transaction: Transaction, do: Callable[[Session], _T]) -> _T:
    """Do the database's half of something, and return what ``do`` returns.

    If the server ended it because of a deadlock, it is done once more: S3 has done its half already.
    """
    try:
        with transaction() as session:
            return do(session)
    except DBAPIError as error:
        if not is_deadlock(error):
            raise
    with transaction() as session:
        return do(session)
