"""Which errors mean that the database isn't there, or can't be used for now."""

from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from chalicelib.db.driver import ends_connection, told

# Admin shutdown, crash shutdown, cannot connect now, idle in a transaction or in one for too long; class 08 is every connection
# exception.
_LOST = ("57P01", "57P02", "57P03", "25P03", "25P04", "08")
_DISK_FULL = "53100"
# Out of disk, memory or connections, or the disk fails: it is nobody's statement's fault, and passes.
_EXHAUSTED = ("53", "58")


def sqlstate(error: BaseException | None) -> str:
    """The five-character SQLSTATE of a pg8000 error; ``""`` if it has none."""
    return str(told(error).get("C", ""))


def mark_disconnect(context: ExceptionContext) -> None:
    """Have the pool throw away connections that can't be trusted.

    If the server went away, a connection is lost, whatever its last word was, and pg8000's dialect notices only broken
    sockets. If an error isn't the server's answer, the connection may be out of step: an answer that is only half read would
    be taken for that of the next statement.
    """
    state = sqlstate(context.original_exception)
    was_there = context.connection is not None  # a refused login is no lost connection
    if not state or state.startswith(_LOST) or (was_there and ends_connection(context.original_exception)):
        context.is_disconnect = True


def _is_lost(error: DBAPIError) -> bool:
    """Whether ``error`` means that the server is not there, rather than that it refused a statement."""
    return (
        error.connection_invalidated
        or isinstance(error, InterfaceError)
        or sqlstate(error.orig).startswith(_LOST)
        or (isinstance(error, OperationalError) and not sqlstate(error.orig))
    )


def why_unavailable(error: DBAPIError) -> str | None:
    """Why the database can't be used, if it can't and may be soon; None if that isn't what ``error`` says."""
    if _is_lost(error):
        return "The database does not answer."
    state = sqlstate(error.orig)
    if state == _DISK_FULL:
        return "The database's disk is full."
    return "The database lacks something that it needs." if state.startswith(_EXHAUSTED) else None
