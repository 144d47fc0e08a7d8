"""COPY, the fastest way to write many rows. pg8000 has it, SQLAlchemy hasn't."""

from collections.abc import Sequence

from pg8000.exceptions import Error
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session


def copy_in(session: Session, statement: str, blocks: Sequence[bytes]) -> None:
    """Send rows, as Postgres's text format writes them, to a ``COPY … FROM STDIN``, in the session's transaction.

    They are in memory already: an error while more of them are made would leave the connection out of step.
    """
    connection = session.connection()
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement, stream=iter(blocks))  # type: ignore[call-arg]
    except Error as error:
        raise DBAPIError.instance(statement, None, error, Error, dialect=connection.dialect) from error
    finally:
        cursor.close()
