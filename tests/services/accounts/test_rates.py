"""Rates: what a process lets through, what all of them let through together, and what reaches the database."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from chalicelib.catalog.rates import Rate
from chalicelib.db.engine import Session, create_catalog_engine, transaction
from chalicelib.errors import DatabaseUnavailable, TooManyRequests
from chalicelib.services.accounts.rates import Rates, forget_rates
from tests.support.contexts import context_on

# So slow that no token comes back during a test, whatever the machine is busy with.
SLOW = Rate(0.0001, 20)
Begin = Callable[[], AbstractContextManager[Session]]


class Clock:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_catalog_engine(database_url, 8)
    yield engine
    engine.dispose()


@pytest.fixture
def begin(engine: Engine) -> Begin:
    return lambda: transaction(engine)


@contextmanager
def no_database() -> Iterator[Session]:
    raise DatabaseUnavailable("The database does not answer.")
    yield


def asked(rates: Rates, user_id: UUID, times: int) -> int:
    """How many of so many requests are let through."""
    count = 0
    for _ in range(times):
        try:
            rates.admit(user_id, None)
        except TooManyRequests:
            continue
        count += 1
        rates.add_up(user_id)
    return count


def test_a_burst_is_let_through_and_then_one_request_for_each_token_that_comes_back(begin: Begin) -> None:
    clock = Clock()
    rates, user_id = Rates(Rate(0.5, 4), no_database, clock), uuid4()
    assert [rates.admit(user_id, None).left for _ in range(4)] == [3, 2, 1, 0]  # type: ignore[union-attr]
    with pytest.raises(TooManyRequests) as refused:
        rates.admit(user_id, None)
    assert refused.value.retry_seconds == 2


def test_tokens_come_back_with_time_and_never_more_than_the_burst() -> None:
    clock = Clock()
    rates = Rates(Rate(0.5, 4), no_database, clock)
    for _ in range(4):
        rates.admit_address("192.0.2.1")
    clock.seconds += 2
    standing = rates.admit_address("192.0.2.1")
    assert (standing.left, standing.seconds_to_full) == (0, 8)  # type: ignore[union-attr]
    with pytest.raises(TooManyRequests):
        rates.admit_address("192.0.2.1")
    clock.seconds += 1000
    assert rates.admit_address("192.0.2.1").left == 3  # type: ignore[union-attr]


def test_who_fails_is_counted_apart_from_who_asks_and_an_address_apart_from_another() -> None:
    rates = Rates(Rate(0.5, 1), no_database, Clock())
    rates.admit_address("a")
    rates.note_failure("x", "a")
    rates.admit_address("b")
    for again in (
        lambda: rates.admit_address("a"),
        lambda: rates.note_failure("x", "a"),
        lambda: rates.admit_address("b"),
    ):
        with pytest.raises(TooManyRequests):
            again()
    assert rates.admit_address(None) is None


def test_a_credential_that_is_good_no_more_is_not_heard_for_being_known() -> None:
    rates, user_id = Rates(Rate(0.5, 2), no_database, Clock()), uuid4()
    rates.admit(user_id, "key")
    for _ in range(2):
        rates.refuse_early("key", "a")
        rates.note_failure("key", "a")
    with pytest.raises(TooManyRequests):
        rates.refuse_early("key", "a")


def test_users_do_not_take_from_each_other(begin: Begin) -> None:
    rates = Rates(SLOW, begin, Clock())
    ada, bob = uuid4(), uuid4()
    assert (asked(rates, ada, 30), asked(rates, bob, 30)) == (20, 20)


def test_processes_that_ask_at_once_let_through_no_more_than_the_burst_and_a_tenth_for_each(begin: Begin) -> None:
    user_id, rate = uuid4(), Rate(0.0001, 100)
    with ThreadPoolExecutor(4) as pool:
        let_through = sum(pool.map(lambda _: asked(Rates(rate, begin), user_id, 120), range(4)))
    assert 100 <= let_through <= 100 + 4 * 10


def test_threads_of_one_process_let_through_no_more_than_the_burst(begin: Begin) -> None:
    user_id, process = uuid4(), Rates(Rate(0.0001, 100), begin)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: asked(process, user_id, 60), range(8))) == 100


def test_a_new_process_soon_learns_what_others_have_used(begin: Begin) -> None:
    user_id = uuid4()
    assert asked(Rates(SLOW, begin), user_id, 30) == 20
    assert asked(Rates(SLOW, begin), user_id, 30) == 2


def test_what_is_refused_does_not_reach_the_database(begin: Begin) -> None:
    user_id, credential = uuid4(), "Bearer x"
    rates = Rates(SLOW, begin, Clock())
    rates.admit(user_id, credential)
    asked(rates, user_id, 30)
    rates.begin = no_database
    with pytest.raises(TooManyRequests):
        rates.refuse_early(credential, None)
    assert asked(rates, user_id, 30) == 0


def test_requests_that_could_not_be_added_are_added_later(begin: Begin, engine: Engine) -> None:
    user_id = uuid4()
    rates = Rates(SLOW, no_database, Clock())
    assert asked(rates, user_id, 10) == 10
    rates.begin = begin
    assert asked(rates, user_id, 1) == 1
    with engine.connect() as connection:
        used = text("SELECT extract(epoch FROM full_at - now()) / 10000 FROM rates WHERE user_id = :user_id")
        assert round(connection.execute(used, {"user_id": user_id}).scalar_one()) == 11


def test_without_a_rate_everybody_asks_as_often_as_it_likes() -> None:
    rates = Rates(None, no_database)
    assert asked(rates, uuid4(), 1000) == 1000
    rates.refuse_early("x", "y")


def test_buckets_that_have_long_been_full_are_forgotten(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO rates VALUES (gen_random_uuid(), now() - interval '2 days')"))
    assert forget_rates(context_on(engine)) >= 1
    assert forget_rates(context_on(engine)) == 0
