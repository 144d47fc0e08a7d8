"""Connections are as Landfall needs them."""

import socket
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.db.outages import sqlstate
from chalicelib.errors import DatabaseUnavailable
from dev.ports import free_port
from dev.stack import ephemeral_postgres
from tests.support.waiting import eventually


def test_a_connection_sends_at_once_speaks_utc_and_has_a_statement_timeout(tmp_path: Path) -> None:
    with ephemeral_postgres(tmp_path) as postgres:
        engine = create_catalog_engine(postgres.url, statement_timeout_ms=1234)
        with engine.connect() as connection:
            link = connection.connection.dbapi_connection._usock  # type: ignore[union-attr]
            assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert connection.execute(text("SHOW timezone")).scalar_one() == "UTC"
            assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "1234ms"
            assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "5s"
            assert connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one() == "10s"
            assert connection.execute(text("SHOW transaction_timeout")).scalar_one() == "3234ms"


def test_a_transaction_of_many_short_statements_is_ended_in_time(database_url: str) -> None:
    engine = create_catalog_engine(database_url, statement_timeout_ms=1000)
    with pytest.raises(DatabaseUnavailable), transaction(engine) as session:
        for _ in range(100):
            session.execute(text("SELECT 1"))
            time.sleep(0.1)

    with transaction(engine) as session:  # on a new connection
        session.execute(text("SELECT 1"))
    engine.dispose()


@pytest.mark.parametrize(
    "elements",
    [
        ["null", "NULL", "Null"],
        ["", " ", "a b", "a,b"],
        ['"', "\\", '\\"', "'"],
        ["{", "}", "{x}"],
        ["é", "🎉", "\n"],
        ["None"],
    ],
)
def test_texts_in_an_array_are_kept(database_url: str, elements: list[str]) -> None:
    engine = create_catalog_engine(database_url)
    with transaction(engine) as session:
        statement = text("SELECT to_json(CAST(:elements AS text[]))")
        assert session.execute(statement, {"elements": elements}).scalar_one() == elements
    engine.dispose()


def test_a_killed_server_is_reported_and_found_again_after_its_restart(tmp_path: Path) -> None:
    with ephemeral_postgres(tmp_path) as postgres:
        engine = create_catalog_engine(postgres.url)
        with transaction(engine) as session:
            session.execute(text("CREATE TABLE kept (n int)"))

        with pytest.raises(DatabaseUnavailable), transaction(engine) as session:
            session.execute(text("INSERT INTO kept VALUES (1)"))
            postgres.kill()
            session.execute(text("INSERT INTO kept VALUES (2)"))
        with pytest.raises(DatabaseUnavailable), transaction(engine) as session:
            session.execute(text("SELECT 1"))

        postgres.start()
        with transaction(engine) as session:
            assert session.execute(text("SELECT count(*) FROM kept")).scalar_one() == 0


@pytest.mark.parametrize(
    ("limit", "state"), [("idle_in_transaction_session_timeout", "25P03"), ("idle_session_timeout", "57P05")]
)
def test_why_the_server_ended_a_connection_is_the_error_and_it_is_lost(
    database_url: str, limit: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.db.engine._IDLE_SECONDS", 60)  # else the pool itself would notice on a slow machine
    engine, watching = create_catalog_engine(database_url), create_catalog_engine(database_url)
    there = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
    with pytest.raises(DatabaseUnavailable) as caught, transaction(engine) as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        session.execute(text(f"SET {limit} = 1"))
        if state == "57P05":
            session.commit()
        with transaction(watching) as other:
            assert eventually(lambda: other.scalar(there, {"pid": pid}) == 0)
        session.execute(text("SELECT 1"))
    assert isinstance(caught.value.__cause__, DBAPIError)
    assert sqlstate(caught.value.__cause__.orig) == state

    with transaction(engine) as session:
        assert session.execute(text("SELECT 2")).scalar_one() == 2
    engine.dispose()
    watching.dispose()


def test_a_connection_that_died_while_idle_is_replaced(tmp_path: Path) -> None:
    with ephemeral_postgres(tmp_path) as postgres:
        engine = create_catalog_engine(postgres.url)
        with transaction(engine) as session:
            session.execute(text("SELECT 1"))

        postgres.restart()
        time.sleep(1.1)

        with transaction(engine) as session:
            assert session.execute(text("SELECT 2")).scalar_one() == 2


def test_a_parameter_that_cannot_be_sent_spoils_no_later_answer(database_url: str) -> None:
    engine = create_catalog_engine(database_url)
    too_early = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))

    for number in range(20):
        with pytest.raises(OverflowError), transaction(engine) as session:
            session.execute(text("SELECT CAST(:moment AS timestamptz)"), {"moment": too_early})
        with transaction(engine) as session:
            assert session.execute(text("SELECT CAST(:number AS int)"), {"number": number}).scalar_one() == number


def test_a_database_that_nobody_runs_is_unavailable() -> None:
    engine = create_catalog_engine(f"postgresql+pg8000://nobody@127.0.0.1:{free_port()}/nothing")
    with pytest.raises(DatabaseUnavailable), transaction(engine) as session:
        session.execute(text("SELECT 1"))


@pytest.mark.parametrize("state", ["53100", "53200", "53300", "58030"])
def test_a_server_without_room_is_away_rather_than_refusing_a_statement(database_url: str, state: str) -> None:
    """Its disk is full, its memory or its connections are used up, or the disk fails."""
    engine = create_catalog_engine(database_url)
    with pytest.raises(DatabaseUnavailable), transaction(engine) as session:
        session.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$"))
    engine.dispose()
