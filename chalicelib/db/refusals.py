"""What the database refuses, in Landfall's words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from chalicelib.db.outages import sqlstate
from chalicelib.errors import Conflict, Contention, DatabaseUnavailable, Forbidden, LandfallError, Unprocessable

ResultT = TypeVar("ResultT")

_DEADLOCK = ("40001", "40P01")
_LOCKED = "55P03"  # a lock was not granted in time
_CANCELLED = "57014"  # statement timeout
_DISK_FULL = "53100"
_OVERLOADED = ("53", _CANCELLED)  # out of resources
_RESTRICT = "23001"  # PostgreSQL 18 on; before, a restricted deletion was a foreign key violation too
_FOREIGN_KEY = "23503"
_UNIQUE = "23505"
_OUT_OF_SCOPE = "44000"  # the check option of a view: see `chalicelib.db.member_views`

_TAKEN = {
    "users_email_key": "Another user already has this email address.",
    "owner_rules_bucket_prefix_key": "There is a rule for this prefix already.",
}


@contextmanager
def meaningful_refusals() -> Iterator[None]:
    """Raise `LandfallError`s for what Postgres refused for a reason a caller can understand.

    Raises:
        Conflict: a unique value is taken, or a row to delete is still referred to.
        Forbidden: the row is none that the caller may write.
        Unprocessable: a row refers to one that is not there.
        Contention: deadlock or serialisation failure; retry the whole transaction.
        DatabaseUnavailable: the statement took too long, the disk is full, or no connection was free or accepted.
    """
    try:
        yield
    except PoolTimeout as error:
        raise DatabaseUnavailable("The database has no free connection.") from error
    except DBAPIError as error:
        meaning = _meaning(error)
        if meaning is None:
            raise
        raise meaning from error


def once_more_after_deadlock(work: Callable[[], ResultT]) -> ResultT:
    """Do some work, which is one transaction, and do it once more if the server ended it because of a deadlock.

    By then the transaction that it met has gone on.
    """
    try:
        return work()
    except DBAPIError as error:
        if sqlstate(error.orig) not in _DEADLOCK:
            raise
    return work()


def is_held_up(error: BaseException) -> bool:
    """Whether a transaction failed only because others stood in its way."""
    state = sqlstate(error.orig) if isinstance(error, DBAPIError) else ""
    return state in _DEADLOCK or state == _LOCKED


def is_contention(error: BaseException) -> bool:
    """Whether a transaction failed only because others stood in its way, or because it took too long."""
    return is_held_up(error) or (isinstance(error, DBAPIError) and sqlstate(error.orig) == _CANCELLED)


def _meaning(error: DBAPIError) -> LandfallError | None:
    state = sqlstate(error.orig)
    if state == _LOCKED:
        return DatabaseUnavailable("Somebody else is changing the same things at this moment.")
    if state in _DEADLOCK:
        return Contention("Others were changing the same things at the same time.")
    if state == _OUT_OF_SCOPE:
        return Forbidden("It would be outside of what this caller may change.")
    if state == _UNIQUE:
        return Conflict(_TAKEN.get(_constraint(error), "Another one already has this value."))
    if state == _RESTRICT or (state == _FOREIGN_KEY and _is_deletion(error)):
        return Conflict("Something still belongs to it.")
    if state == _FOREIGN_KEY:
        return Unprocessable("It refers to something that is not there.")
    if state == _DISK_FULL:
        return DatabaseUnavailable("The database's disk is full.")
    if state.startswith(_OVERLOADED):
        return DatabaseUnavailable("The database took too long.")
    if error.statement is None:
        # No statement was refused but a connection (or a commit): wrong password, no such database, …
        return DatabaseUnavailable("The database accepts no connection.")
    return None


def _is_deletion(error: DBAPIError) -> bool:
    # Both directions have one SQLSTATE, and the detail that tells them apart is localised. So we look at the statement.
    return (error.statement or "").lstrip().upper().startswith("DELETE")


def _constraint(error: DBAPIError) -> str:
    details = error.orig.args[0] if error.orig is not None else {}
    return str(details.get("n", ""))
