"""What the object store honours is tried once a day, for all processes together, and is never taken for granted."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine, text

from chalicelib import runtime
from chalicelib.catalog.objects import EVERYTHING, NOTHING, Guarantees
from chalicelib.db.engine import create_catalog_engine
from chalicelib.errors import Refused, StoreUnavailable
from chalicelib.services.context import Context
from chalicelib.services.upkeep.probing import CONSEQUENCES, StoreGuarantees, probed_store
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore
from tests.support.aws import make_bucket
from tests.support.backend import Backend
from tests.support.contexts import context_on
from tests.support.process import start_over
from tests.support.refusing import RefusingStore

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FOUND = Guarantees(conditional_put=True, checksums=True)


@pytest.fixture(scope="module")
def catalogue(new_migrated_database: Callable[[], str]) -> Iterator[Engine]:
    engine = create_catalog_engine(new_migrated_database())
    yield engine
    engine.dispose()


@pytest.fixture
def engine(catalogue: Engine) -> Engine:
    """A catalogue of which no store is known."""
    with catalogue.begin() as connection:
        connection.execute(text("DELETE FROM stores"))
    return catalogue


class TriedStore:
    """A store that counts how often it is tried, and answers with what it is told."""

    def __init__(self) -> None:
        self.answer: Guarantees | Exception = FOUND
        self.tried = 0

    def probe(self) -> Guarantees:
        self.tried += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Asked:
    """Asks what a store honours, on a catalogue of its own, at any time."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.store, self.now = engine, TriedStore(), runtime.now()

    def context(self, **settings: str | None) -> Context:
        options = Settings(**{"bucket": "versioned", "s3_endpoint": "http://store", **settings})
        return context_on(self.engine, self.store, settings=options, clock=lambda: self.now)

    def saved(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(text("SELECT count(*) FROM stores")).scalar_one())


@pytest.fixture
def asked(engine: Engine) -> Asked:
    return Asked(engine)


def test_a_store_is_tried_at_its_first_use_and_after_a_day(asked: Asked) -> None:
    first = probed_store(asked.context())
    assert (first.guarantees, first.problem, first.at) == (FOUND, None, asked.now)

    asked.now += DAY - timedelta(seconds=1)
    assert probed_store(asked.context()) == first
    assert asked.store.tried == 1

    asked.now += timedelta(seconds=1)
    asked.store.answer = EVERYTHING  # upgraded
    assert probed_store(asked.context()).guarantees == EVERYTHING
    assert asked.store.tried == 2
    assert asked.saved() == 1


def test_another_store_and_another_bucket_are_tried_themselves(asked: Asked) -> None:
    for settings in ({}, {"bucket": "plain"}, {"s3_endpoint": "http://another"}, {}):
        probed_store(asked.context(**settings))
    assert asked.store.tried == 3


@pytest.mark.parametrize(
    "endpoint",
    [None, "https://bucket.vpce-1a2b-3c4d.s3.eu-west-1.vpce.amazonaws.com", "https://s3.cn-north-1.amazonaws.com.cn/"],
)
def test_aws_is_never_tried(asked: Asked, endpoint: str | None) -> None:
    asked.store.answer = AssertionError("tried")
    probed = probed_store(asked.context(s3_endpoint=endpoint))
    assert (probed.guarantees, probed.at, probed.problem) == (EVERYTHING, None, None)
    assert asked.saved() == 0


def test_a_store_that_refuses_is_trusted_with_nothing_and_tried_again_after_an_hour(asked: Asked) -> None:
    asked.store.answer = Refused("The object store could not make a bucket.", "AccessDenied")
    probed = probed_store(asked.context())
    assert probed.guarantees == NOTHING
    assert probed.problem == "The object store could not make a bucket. It answered AccessDenied."

    asked.now += HOUR - timedelta(seconds=1)
    assert probed_store(asked.context()) == probed
    assert asked.store.tried == 1

    asked.now += timedelta(seconds=1)
    asked.store.answer = FOUND
    again = probed_store(asked.context())
    assert (again.guarantees, again.problem) == (FOUND, None)


def test_a_store_that_does_not_answer_is_not_judged(asked: Asked) -> None:
    asked.store.answer = StoreUnavailable("The object store does not answer.")
    with pytest.raises(StoreUnavailable):
        probed_store(asked.context())
    assert asked.saved() == 0

    asked.store.answer = FOUND
    assert probed_store(asked.context()).guarantees == FOUND


@pytest.mark.parametrize(
    "endpoint", ["http://amazonaws.com.example", "http://notamazonaws.com", "http://a/x.amazonaws.com"]
)
def test_a_store_with_nearly_the_name_of_aws_is_tried(asked: Asked, endpoint: str) -> None:
    probed_store(asked.context(s3_endpoint=endpoint))
    assert asked.store.tried == 1


def test_a_process_asks_its_database_every_ten_minutes_and_one_thread_at_a_time(asked: Asked) -> None:
    guarantees = StoreGuarantees(asked.context)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: guarantees(), range(8))) == {FOUND}
    assert asked.store.tried == 1

    with asked.engine.begin() as connection:
        connection.execute(text("DELETE FROM stores"))
    asked.store.answer = EVERYTHING
    assert guarantees() == FOUND
    asked.now += timedelta(minutes=11)
    assert guarantees() == EVERYTHING


def test_what_an_older_release_found_is_tried_again(asked: Asked) -> None:
    """It didn't try all that is tried today."""
    probed_store(asked.context())
    with asked.engine.begin() as connection:
        connection.execute(text("UPDATE stores SET guarantees = guarantees - 'checksums'"))
    probed_store(asked.context())
    assert asked.store.tried == 2


def test_every_guarantee_has_its_consequence() -> None:
    assert list(CONSEQUENCES) == NOTHING.missing


# --- a process, with a real store


@contextmanager
def process(engine: Engine, url: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LANDFALL_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("LANDFALL_BUCKET", bucket)
    start_over()
    yield
    runtime.engine().dispose()
    start_over()


def test_a_second_process_believes_the_first(engine: Engine, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    url = backend.s3.meta.endpoint_url
    make_bucket(backend.s3, "probed-once")
    tried = []
    really_probe = ObjectStore.probe
    monkeypatch.setattr(ObjectStore, "probe", lambda self: tried.append(self) or really_probe(self))
    for _ in range(2):
        with process(engine, url, "probed-once", monkeypatch):
            assert runtime.guarantees()() == EVERYTHING
            assert runtime.guarantees()() == EVERYTHING
    assert len(tried) == 1


def test_a_process_whose_store_refuses_trusts_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with RefusingStore().running() as store, process(engine, store.url, "refused", monkeypatch):
        assert runtime.guarantees()() == NOTHING
        problem = probed_store(runtime.context()).problem
        assert problem is not None
        assert "AccessDenied" in problem


def test_a_process_whose_store_is_away_asks_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))
    with RefusingStore(503, "SlowDown").running() as store, process(engine, store.url, "away", monkeypatch):
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                runtime.guarantees()()
        store.status, store.code = 403, "AccessDenied"
        assert runtime.guarantees()() == NOTHING
