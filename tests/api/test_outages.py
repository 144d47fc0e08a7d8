"""What a caller is told while something behind the API fails, and how that ends."""

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.support.api import assert_problem

Serve = Callable[..., Any]
NewDatabase = Callable[[], str]


def run(url: str, statement: str) -> None:
    """Run one statement that must not be in a transaction."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_an_internal_error_is_opaque_to_the_caller_and_complete_in_the_log(
    serve: Serve, new_migrated_database: NewDatabase
) -> None:
    url = new_migrated_database()
    run(url, "ALTER TABLE users RENAME COLUMN name TO secret_column")
    with serve(url) as api:
        answer = api("GET", "/api/users")
        problem = assert_problem(answer, 500, "internal-error")
        assert b"name" not in answer.body.replace(b"names", b"")

        failure = next(line for line in api.log_lines(problem["request_id"]) if line["level"] == "error")
        assert "UndefinedColumn" in json.dumps(failure) or "42703" in json.dumps(failure)
        assert "Traceback" in json.dumps(failure)


def test_a_database_that_does_not_answer_is_503_until_it_returns(
    serve: Serve, new_migrated_database: NewDatabase, postgres_url: str
) -> None:
    url = new_migrated_database()
    name = url.rsplit("/", 1)[1]
    with serve(url) as api:
        assert api("GET", "/api/users").status == 200

        run(postgres_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        run(postgres_url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

        answer = api("GET", "/api/users")
        assert_problem(answer, 503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0

        run(postgres_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert api("GET", "/api/users").status == 200


def test_a_missing_database_server_is_503(serve: Serve) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))

        with serve(f"postgresql+pg8000://nobody@127.0.0.1:{taken.getsockname()[1]}/none") as api:
            assert_problem(api("GET", "/api/users"), 503, "unavailable")
            assert_problem(api("POST", "/api/sessions", {}), 503, "unavailable")
            assert_problem(api("POST", "/api/sessions", {"x": 1}), 400, "invalid-input", ("body", "x"))


def test_a_statement_that_takes_too_long_is_503(serve: Serve, new_migrated_database: NewDatabase) -> None:
    url = new_migrated_database()
    engine = create_engine(url)

    with serve(url, LANDFALL_STATEMENT_TIMEOUT_MS="200") as api, engine.begin() as connection:
        connection.execute(text("LOCK TABLE users"))
        assert_problem(api("GET", "/api/users"), 503, "unavailable")
    engine.dispose()


def test_a_request_whose_statements_take_too_long_together_is_503_and_leaves_nothing(
    serve: Serve, api_database_copy: str
) -> None:
    """Each statement is within its limit of a second; all of them aren't within the transaction's, of three."""
    run(
        api_database_copy,
        """CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(0.8); RETURN NULL; END $$""",
    )
    for table in ("sessions", "files", "uploads", "acts"):
        dawdle = f"CREATE TRIGGER dawdle AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION dawdle()"
        run(api_database_copy, dawdle)

    with serve(api_database_copy, LANDFALL_STATEMENT_TIMEOUT_MS="1000") as api:
        answer = api("POST", "/api/files", {"name": "a", "size": 5, "session_id": "s"})
        assert_problem(answer, 503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert [api("GET", f"/api/{kind}").json["items"] for kind in ("files", "sessions", "trail")] == [[], [], []]


@pytest.mark.parametrize(("state", "times", "status"), [("40P01", 1, 201), ("40001", 1, 201), ("40P01", 9, 503)])
def test_a_deadlock_is_tried_once_more(
    serve: Serve, api_database_copy: str, state: str, times: int, status: int
) -> None:
    # A sequence is not rolled back, so the trigger counts the tries.
    run(api_database_copy, "CREATE SEQUENCE tries")
    run(
        api_database_copy,
        f"""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'busy' USING ERRCODE = '{state}'; END IF;
            RETURN NEW; END $$""",
    )
    run(
        api_database_copy,
        "CREATE TRIGGER refuse BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION refuse()",
    )

    with serve(api_database_copy) as api:
        answer = api("POST", "/api/sessions", {"session_id": "s"})
        assert answer.status == status
        if status == 503:
            assert_problem(answer, 503, "unavailable")
