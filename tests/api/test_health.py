"""Health over real HTTP. That a whole stack is ready is proved end to end, where there is a bucket."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from chalicelib.db.engine import create_catalog_engine
from chalicelib.services.upkeep.probing import CONSEQUENCES
from dev.emulator import Emulator
from tests.support.api import assert_problem, moment
from tests.support.aws import make_bucket
from tests.support.refusing import RefusingStore


def test_health_needs_nothing_but_the_process(serve: Callable[..., Any]) -> None:
    with serve("postgresql+pg8000://nobody@127.0.0.1:1/none", LANDFALL_IDENTITY="none") as api:
        answer = api("GET", "/health")
        assert (answer.status, answer.json) == (200, {"status": "ok"})
        assert answer.headers["Cache-Control"] == "no-store"


def test_readiness_names_a_database_and_a_bucket_that_do_not_answer(serve: Callable[..., Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        url = f"postgresql+pg8000://nobody@127.0.0.1:{port}/none"
        with serve(url, **_store(port)) as api:
            answer = api("GET", "/ready")

    problem = assert_problem(answer, 503, "unavailable", ("check", "database"), ("check", "bucket"))
    assert "does not answer" in problem["detail"]
    assert int(answer.headers["Retry-After"]) > 0


def test_readiness_names_a_schema_that_does_not_fit_the_code(
    serve: Callable[..., Any], new_database: Callable[[str | None], str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with serve(new_database(None), **_store(taken.getsockname()[1])) as api:
            problem = api("GET", "/ready").json

    messages = {error["field"]: error["message"] for error in problem["errors"]}
    assert "schema none" in messages["database"]


def test_readiness_does_not_complain_of_a_good_database(serve: Callable[..., Any], api_database_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with serve(api_database_url, **_store(taken.getsockname()[1])) as api:
            assert_problem(api("GET", "/ready"), 503, "unavailable", ("check", "bucket"))


def test_readiness_accepts_a_schema_that_newer_code_has_migrated(
    serve: Callable[..., Any], new_migrated_database: Callable[[], str]
) -> None:
    url = new_migrated_database()
    engine = create_catalog_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with serve(url, **_store(taken.getsockname()[1])) as api:
            assert_problem(api("GET", "/ready"), 503, "unavailable", ("check", "bucket"))


def _store(port: int) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


# --- what the object store honours


def test_readiness_says_that_a_store_honours_everything(files_api: Any) -> None:
    answer = files_api("GET", "/ready")
    assert answer.status == 200
    store = answer.json["store"]
    assert (store["ignores"], store["admits"], store["problem"]) == ([], [], None)
    assert moment(store["probed_at"]) <= datetime.now(UTC)
    assert files_api("GET", "/ready").json["store"] == store  # it was not tried again


def test_readiness_says_what_a_store_ignores_and_what_that_means(
    serve: Callable[..., Any], api_database_copy: str, emulator: Emulator, s3: Any
) -> None:
    make_bucket(s3, "ready")
    with serve(api_database_copy, **_store(emulator.port), LANDFALL_BUCKET="ready") as api:
        assert api("GET", "/ready").json["store"]["ignores"] == []
        _change(api_database_copy, """guarantees = guarantees || '{"conditional_delete": false, "checksums": false}'""")
        store = api("GET", "/ready").json["store"]

        assert store["ignores"] == ["conditional_delete", "checksums"]
        assert store["admits"] == [CONSEQUENCES["conditional_delete"], CONSEQUENCES["checksums"]]

        _change(api_database_copy, "probed_at = probed_at - interval '25 hours'")
        assert api("GET", "/ready").json["store"]["ignores"] == []


def test_readiness_says_why_a_store_could_not_be_tried(serve: Callable[..., Any], api_database_copy: str) -> None:
    """It is ready all the same: Landfall is as careful as it can be."""
    with RefusingStore().running() as refusing:
        port = int(refusing.url.rsplit(":", 1)[1])
        with serve(api_database_copy, **_store(port)) as api:
            answer = api("GET", "/ready")

    assert answer.status == 200
    assert "AccessDenied" in answer.json["store"]["problem"]
    assert answer.json["store"]["ignores"] == list(CONSEQUENCES)


def test_readiness_names_a_store_that_cannot_be_tried_now(serve: Callable[..., Any], api_database_copy: str) -> None:
    with RefusingStore(500, "InternalError").running() as failing:
        port = int(failing.url.rsplit(":", 1)[1])
        with serve(api_database_copy, **_store(port)) as api:
            answer = api("GET", "/ready")

    assert_problem(answer, 503, "unavailable", ("check", "store"))


def _change(database_url: str, what: str) -> None:
    engine = create_catalog_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE stores SET {what}"))
    engine.dispose()
