"""Callers who ask too often, at the whole API: what they are told, and what of it reaches the database."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import app
from chalicelib import runtime
from chalicelib.catalog.rates import Rate
from chalicelib.services.accounts.rates import Rates
from tests.support.api import UNKNOWN_ID
from tests.support.backend import BUCKET
from tests.support.callers import made_up_secret
from tests.support.identified import Service, published_service
from tests.support.notifications import body, s3_record, sqs_event
from tests.support.statements import Sent, noting_statements

# So slow that no token comes back during a test.
SLOW = Rate(0.0001, 5)


@pytest.fixture(scope="module")
def service_of_module(
    new_migrated_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    home: Path = tmp_path_factory.mktemp("rates")
    with published_service(
        new_migrated_database(), home, LANDFALL_REQUESTS_PER_SECOND="0.0001", LANDFALL_REQUEST_BURST="5"
    ) as made:
        made.address = "192.0.2.1"
        yield made


@pytest.fixture
def service(service_of_module: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A process that has counted nothing yet."""
    fresh = Rates(runtime.rates().rate, runtime.transaction)
    monkeypatch.setattr(runtime, "rates", lambda: fresh)
    return service_of_module


@pytest.fixture
def statements(service: Service) -> Iterator[list[Sent]]:
    """What is sent to the database."""
    with noting_statements() as sent:
        yield sent


def refused(answer: Any) -> bool:
    """Whether the answer is 429, with all that belongs to it."""
    if answer["statusCode"] != 429:
        return False
    document, headers = json.loads(answer["body"]), answer["headers"]
    assert (document["type"], document["status"]) == ("/problems/too-many-requests", 429)
    assert int(headers["Retry-After"]) > 0
    assert headers["RateLimit"] == f'"default";r=0;t={headers["Retry-After"]}'
    assert headers["RateLimit-Policy"] == '"default";q=5;w=50000'
    return True


def test_answers_say_where_the_caller_stands_and_the_one_too_many_is_refused(service: Service) -> None:
    ada = service.token("standing")
    answers = [service.ask(ada) for _ in range(6)]
    lefts = [answer["headers"]["RateLimit"].split(";")[1] for answer in answers]
    assert lefts == ["r=4", "r=3", "r=2", "r=1", "r=0", "r=0"]
    assert [answer["statusCode"] for answer in answers] == [200] * 5 + [429]
    assert refused(answers[5])
    assert service.ask(service.token("another"))["statusCode"] == 200


def test_a_failed_request_counts_and_says_where_the_caller_stands(service: Service) -> None:
    ada = service.token("fails")
    answer = service.ask(ada, "/api/files", multiValueQueryStringParameters={"colour": ["red"]})
    assert (answer["statusCode"], answer["headers"]["RateLimit"].split(";")[1]) == (400, "r=4")


def test_who_never_asked_for_anything_that_is_there_has_a_rate_too(service: Service) -> None:
    nobody = service.token("never seen")
    answers = [
        service.ask(nobody, "/api/files/{file_id}/versions", pathParameters={"file_id": UNKNOWN_ID}) for _ in range(8)
    ]
    assert [answer["statusCode"] for answer in answers] == [404] * 5 + [429] * 3


def test_who_asks_too_often_does_not_reach_the_database(service: Service, statements: list[Sent]) -> None:
    ada = service.token("flood")
    for _ in range(5):
        service.ask(ada)
    statements.clear()
    assert all(refused(service.ask(ada)) for _ in range(20))
    assert statements == []


def test_a_flood_of_bad_tokens_does_not_reach_the_database_and_ends_at_429(
    service: Service, statements: list[Sent]
) -> None:
    good = service.token("good")
    assert service.ask(good)["statusCode"] == 200
    statements.clear()
    answers = [service.ask(f"Bearer {service.provider.token('eve', 1000.0)}") for _ in range(8)]
    assert [answer["statusCode"] for answer in answers] == [401] * 5 + [429] * 3
    assert refused(answers[-1])
    assert statements == []
    assert service.ask(good)["statusCode"] == 200, "who is known is heard, whoever shares the address"
    assert refused(service.ask(service.token("new"))), "nobody else of this address is looked up"
    assert service.ask(service.token("new"), address="192.0.2.2")["statusCode"] == 200


def test_a_flood_of_made_up_keys_reaches_the_database_only_so_often(service: Service, statements: list[Sent]) -> None:
    answers = [service.ask(f"Bearer {made_up_secret()}", address="192.0.2.3") for _ in range(8)]
    assert [answer["statusCode"] for answer in answers] == [401] * 5 + [429] * 3
    assert len(statements) == 5


def test_a_flood_of_guessed_share_links_does_not_reach_the_database_for_long(
    service: Service, statements: list[Sent]
) -> None:
    guess = {"pathParameters": {"token": "x"}}
    answers = [service.ask(None, "/api/shared/{token}", **guess) for _ in range(8)]
    assert [answer["statusCode"] for answer in answers] == [404] * 5 + [429] * 3
    assert len(statements) == 5
    assert service.ask(None, "/api/shared/{token}", address="192.0.2.2", **guess)["statusCode"] == 404


def test_operators_have_a_rate_too(service: Service) -> None:
    me = json.loads(service.ask(service.token("boss"))["body"])
    with runtime.engine().begin() as connection:
        connection.exec_driver_sql(f"UPDATE users SET role = 'operator' WHERE id = '{me['id']}'")
    answers = [service.ask(service.token("boss"), "/api/users") for _ in range(6)]
    assert refused(answers[-1])


def test_landfall_itself_has_none(service: Service) -> None:
    for number in range(10):
        record = s3_record("ObjectCreated:Put", f"rates/{number}", bucket=BUCKET, sequencer="0A", size=1)
        told = sqs_event(body(record))
        assert app.ingest(told, SimpleNamespace(aws_request_id="r")) == {"batchItemFailures": []}


def test_the_log_says_that_somebody_asked_too_often_or_came_with_a_bad_token(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    ada, bad = service.token("logged"), service.provider.token("eve", time.time() - 5000)
    for _ in range(6):
        service.ask(ada)
    service.ask(f"Bearer {bad}", address="192.0.2.9")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [(line["status"], line["problem"]) for line in lines if line["message"] == "request"]
    assert told[-2:] == [(429, "too-many-requests"), (401, "unauthenticated")]
    assert [line["reason"] for line in lines if line["message"] == "caller refused"] == ["The token has expired."]
    assert bad not in str(lines)


def test_no_flood_of_other_requests_makes_the_service_look_dead(service: Service) -> None:
    """Those who ask how it is may share an address with everybody: that of a load balancer."""
    address = "192.0.2.77"
    answers = [service.ask(None, "/", address=address)["statusCode"] for _ in range(8)]
    assert answers[-1] == 429
    assert service.ask(None, "/ready", address=address)["statusCode"] != 429
    for _ in range(8):
        answer = service.ask(None, "/health", address=address)
        assert (answer["statusCode"], "RateLimit" in answer["headers"]) == (200, False)
    checks = [service.ask(None, "/ready", address=address)["statusCode"] for _ in range(8)]
    assert checks[-1] == 429, "each of these asks the database"
