"""A row that is read on the shortest way is the one that SQLAlchemy would read, and fails as it would."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, TextClause, text
from sqlalchemy.exc import DBAPIError

from chalicelib.db.driver import Connection
from chalicelib.db.engine import create_catalog_engine, prepared_read, transaction
from chalicelib.db.outages import sqlstate
from chalicelib.db.rows import read_row
from chalicelib.errors import DatabaseUnavailable

DIVIDED = prepared_read(text("SELECT 'a%b', CAST(:one AS int) / CAST(:two AS int), CAST(:one AS int)"))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_catalog_engine(database_url, statement_timeout_ms=500)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("statement", [DIVIDED, text(DIVIDED.text)], ids=["prepared", "not prepared"])
def test_a_row_has_its_values_in_their_order(engine: Engine, statement: TextClause) -> None:
    with transaction(engine) as session:
        for one, two in ((7, 2), (9, 3)):
            values = {"two": two, "one": one, "nobody asks for it": 0}
            assert tuple(read_row(session, statement, values) or ()) == ("a%b", one // two, one)


def test_there_may_be_no_row(engine: Engine) -> None:
    nothing = prepared_read(text("SELECT CAST(:value AS int) WHERE false"))
    with transaction(engine) as session:
        assert read_row(session, nothing, {"value": 1}) is None


def test_it_sees_what_its_transaction_has_written(engine: Engine) -> None:
    with transaction(engine) as session:
        session.execute(text("CREATE TEMPORARY TABLE seen (value int) ON COMMIT DROP"))
        session.execute(text("INSERT INTO seen VALUES (:value)"), {"value": 5})
        assert read_row(session, prepared_read(text("SELECT max(value) + :more FROM seen")), {"more": 1}) == [6]


@pytest.mark.parametrize(
    ("statement", "code"),
    [("SELECT CAST(:value AS int) / 0", "22012"), ("SELECT pg_sleep(CAST(:value AS int))", "57014")],
)
def test_what_the_server_refuses_is_an_error_of_sqlalchemy(engine: Engine, statement: str, code: str) -> None:
    refused = prepared_read(text(statement))
    with pytest.raises(DBAPIError) as caught, transaction(engine) as session:
        read_row(session, refused, {"value": 987_654})
    assert sqlstate(caught.value.orig) == code
    assert "987654" not in str(caught.value), "values are not for the log"
    with transaction(engine) as session:
        assert read_row(session, DIVIDED, {"one": 4, "two": 2}) is not None


def test_a_server_that_goes_away_is_unavailable_and_its_connection_is_not_used_again(engine: Engine) -> None:
    me = prepared_read(text("SELECT pg_backend_pid() + CAST(:nothing AS int)"))
    with pytest.raises(DatabaseUnavailable), transaction(engine) as session:
        read_row(session, me, {"nothing": 0})
        read_row(session, prepared_read(text("SELECT pg_terminate_backend(pg_backend_pid(), :ms)")), {"ms": 0})
        read_row(session, me, {"nothing": 0})
    with transaction(engine) as session:
        assert read_row(session, me, {"nothing": 0}) is not None


@pytest.mark.parametrize(
    ("happening", "expected"),
    [(ConnectionResetError, DatabaseUnavailable), (KeyboardInterrupt, KeyboardInterrupt)],
)
def test_what_happens_amid_an_answer_is_told_and_leaves_no_connection_out_of_step(
    engine: Engine, happening: type[BaseException], expected: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def happen(*_: object) -> None:
        raise happening

    with pytest.raises(expected), transaction(engine) as session:
        session.execute(text("SELECT 1"))  # so that the connection is open
        monkeypatch.setattr(Connection, "handle_messages", happen)
        try:
            read_row(session, DIVIDED, {"one": 8, "two": 2})
        finally:
            monkeypatch.undo()
    with transaction(engine) as session:
        assert tuple(read_row(session, DIVIDED, {"one": 4, "two": 2}) or ()) == ("a%b", 2, 4)
