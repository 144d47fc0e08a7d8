"""The connection asks the server in as few messages as it can, and whatever it saves, nobody can tell."""

from collections.abc import Iterator

import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError

from chalicelib.db.engine import (
    Engine,
    Session,
    create_catalog_engine,
    meanwhile,
    prepared_read,
    prepared_write,
    transaction,
    waiting_write,
)
from chalicelib.db.outages import sqlstate
from tests.support.messages import CountingSocket, count_messages

READ = prepared_read(text("SELECT CAST(:number AS int) AS number, CAST(:word AS text) AS word"))
_PREPARED = text("SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name LIKE 'landfall%'")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_catalog_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def counting(engine: Engine) -> CountingSocket:
    return count_messages(engine)


def test_a_prepared_read_is_one_message_without_a_transaction(engine: Engine, counting: CountingSocket) -> None:
    for expected in (1, 2, 3):
        with transaction(engine) as session:
            assert session.execute(READ, {"number": expected, "word": "é"}).one() == (expected, "é")
        assert counting.sent == expected


def test_other_statements_are_a_message_each_with_the_begin_and_the_commit_is_one(
    engine: Engine, counting: CountingSocket
) -> None:
    with transaction(engine) as session:
        session.execute(READ, {"number": 1, "word": None})
        session.execute(text("SELECT CAST(:n AS int)"), {"n": 1})
        session.execute(text("SELECT 1"))
    assert counting.sent == 4


def test_nothing_is_sent_for_a_transaction_of_nothing(engine: Engine, counting: CountingSocket) -> None:
    with transaction(engine) as session:
        session.connection()
    assert counting.sent == 0


@pytest.mark.parametrize("write", [text("INSERT INTO kept VALUES (1)"), text("INSERT INTO kept VALUES (:n)")], ids=str)
def test_what_follows_a_prepared_read_is_in_a_transaction(engine: Engine, write: TextClause) -> None:
    with transaction(engine) as session:
        session.execute(text("CREATE TABLE IF NOT EXISTS kept (n int)"))
    count = prepared_read(text("SELECT count(*) FROM kept"))
    with pytest.raises(ZeroDivisionError), transaction(engine) as session:
        before = session.scalar(count)
        session.execute(write, {"n": 1} if "n" in write.compile().params else {})
        assert session.scalar(count) == before + 1
        raise ZeroDivisionError

    with transaction(engine) as session:
        assert session.scalar(count) == before


def test_a_prepared_write_begins_a_transaction_and_is_planned_once(engine: Engine, counting: CountingSocket) -> None:
    with transaction(engine) as session:
        session.execute(text("CREATE TABLE IF NOT EXISTS noted (n int)"))
        session.execute(text("TRUNCATE noted"))
    write = prepared_write(text("INSERT INTO noted VALUES (CAST(:n AS int))"))
    for n in (1, 2):
        counting.sent = 0
        with transaction(engine) as session:
            session.execute(write, {"n": n})
        assert counting.sent == 2, "with its BEGIN, and COMMIT"
    with pytest.raises(ZeroDivisionError), transaction(engine) as session:
        session.execute(write, {"n": 3})
        raise ZeroDivisionError
    with pytest.raises(DBAPIError), transaction(engine) as session:
        session.execute(write, {"n": 4})
        session.execute(write, {"n": 1 << 40})

    with transaction(engine) as session:
        assert session.scalars(text("SELECT n FROM noted ORDER BY n")).all() == [1, 2]
        assert session.scalar(text("SHOW plan_cache_mode")) == "auto"


def test_a_prepared_read_is_planned_once(engine: Engine) -> None:
    with transaction(engine) as session:
        for number in range(9):
            session.execute(READ, {"number": number, "word": "x"})
        assert session.execute(_PREPARED).all() == [(9, 0)]


def test_a_connection_keeps_only_so_many_statements_prepared(engine: Engine) -> None:
    with transaction(engine) as session:
        for number in range(100):
            statement = prepared_read(text(f"SELECT {number} WHERE CAST(:yes AS boolean)"))
            assert session.scalar(statement, {"yes": True}) == number
        session.execute(READ, {"number": 1, "word": "x"})
        assert len(session.execute(_PREPARED).all()) <= 65


def test_a_prepared_read_of_a_table_that_became_another_one_works_at_the_second_try(engine: Engine) -> None:
    everything = prepared_read(text("SELECT * FROM changing WHERE CAST(:yes AS boolean)"))
    with transaction(engine) as session:
        session.execute(text("DROP TABLE IF EXISTS changing"))
        session.execute(text("CREATE TABLE changing AS SELECT 1 AS n"))
        assert session.execute(everything, {"yes": True}).all() == [(1,)]
        session.execute(text("ALTER TABLE changing ADD more text DEFAULT 'x'"))

    with pytest.raises(DBAPIError), transaction(engine) as session:
        session.execute(everything, {"yes": True})
    with transaction(engine) as session:
        assert session.execute(everything, {"yes": True}).all() == [(1, "x")]


def test_a_failed_prepared_read_leaves_nothing_behind(engine: Engine) -> None:
    failing = prepared_read(text("SELECT 1 / CAST(:zero AS int)"))
    for _ in range(2):
        with pytest.raises(DBAPIError), transaction(engine) as session:
            session.execute(failing, {"zero": 0})
        with transaction(engine) as session:
            assert session.scalar(text("SHOW plan_cache_mode")) == "auto"
            assert session.scalar(failing, {"zero": 1}) == 1
            assert _is_usable(session)


def test_a_failed_read_undoes_what_the_transaction_wrote_before(engine: Engine) -> None:
    failing = prepared_read(text("SELECT 1 / CAST(:zero AS int)"))
    with transaction(engine) as session:
        session.execute(text("CREATE TABLE IF NOT EXISTS undone (n int)"))
    with pytest.raises(DBAPIError), transaction(engine) as session:
        session.execute(text("INSERT INTO undone VALUES (:n)"), {"n": 1})
        session.execute(failing, {"zero": 0})
    with transaction(engine) as session:
        assert session.scalar(text("SELECT count(*) FROM undone")) == 0


def test_what_is_done_meanwhile_is_done_once_between_question_and_answer(
    engine: Engine, counting: CountingSocket
) -> None:
    sent: list[int] = []
    options = meanwhile(lambda: sent.append(counting.sent))
    with transaction(engine) as session:
        assert session.scalar(text("SELECT CAST(:n AS int)"), {"n": 1}, execution_options=options) == 1
        session.execute(text("SELECT CAST(:n AS int)"), {"n": 1})
    with pytest.raises(DBAPIError), transaction(engine) as session:
        session.execute(text("SELECT 1 / CAST(:n AS int)"), {"n": 0}, execution_options=options)
    with transaction(engine) as session:
        assert _is_usable(session)
    assert sent == [1, 4]


def test_what_waits_is_sent_with_what_follows_and_before_it(engine: Engine, counting: CountingSocket) -> None:
    name = waiting_write(text("SELECT WHERE set_config('landfall.test', :value, true) = ''"))
    named = prepared_read(text("SELECT current_setting('landfall.test', true) AS value WHERE CAST(:yes AS boolean)"))
    for expected in ("a", "b"):
        with transaction(engine) as session:
            session.execute(name, {"value": "x"})
            session.execute(name, {"value": expected})
            assert session.scalar(named, {"yes": True}) == expected
    assert counting.sent == 4
    for follows in (lambda: session.execute(text("SELECT 1")), lambda: session.begin_nested().rollback()):
        with transaction(engine) as session:
            session.execute(name, {"value": "c"})
            follows()
            assert session.scalar(named, {"yes": True}) == "c"
    before = counting.sent
    with transaction(engine) as session:
        session.execute(name, {"value": "d"})
    assert counting.sent == before


def test_if_what_waits_fails_so_does_what_follows_and_nothing_is_left_of_either(engine: Engine) -> None:
    divide = waiting_write(text("SELECT WHERE 1 / CAST(:number AS int) < -1"))
    for number in (0, 1, 0, 1):
        if number:
            with transaction(engine) as session:
                session.execute(divide, {"number": number})
                assert _is_usable(session)
            continue
        with pytest.raises(DBAPIError) as caught, transaction(engine) as session:
            session.execute(divide, {"number": number})
            session.execute(text("CREATE TABLE never_made (n int)"))
        assert sqlstate(caught.value.orig) == "22012"
        with transaction(engine) as session:
            assert session.scalar(text("SELECT to_regclass('never_made')")) is None
            assert _is_usable(session)


def test_a_table_that_was_empty_when_a_statement_was_prepared_is_not_read_from_end_to_end(engine: Engine) -> None:
    with transaction(engine) as session:
        session.execute(text("DROP TABLE IF EXISTS growing"))
        session.execute(text("CREATE TABLE growing (n int PRIMARY KEY)"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE growing"))
    find = prepared_write(text("SELECT n FROM growing WHERE n = CAST(:n AS int)"))
    with transaction(engine) as session:
        session.execute(find, {"n": 1})
        (name,) = session.scalars(text("SELECT name FROM pg_prepared_statements WHERE statement LIKE '%FROM growing%'"))
        session.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        assert "Index" in session.scalar(text(f"EXPLAIN EXECUTE {name}(1)"))
        assert session.scalar(text("SHOW enable_seqscan")) == "on"


def _is_usable(session: Session) -> bool:
    return session.execute(READ, {"number": 1, "word": None}).one() == (1, None)
