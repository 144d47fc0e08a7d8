"""A listing that lies: what it leaves out is asked for, what is no listing is asked for again, and nothing is made up."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from chalicelib import runtime
from chalicelib.catalog.audits import Audit, AuditRequest
from chalicelib.catalog.objects import EVERYTHING
from chalicelib.db import audits
from chalicelib.db.audit_schedule import forget_audits
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.errors import StoreUnavailable
from chalicelib.services.truth import auditing
from chalicelib.store import listing as listings
from chalicelib.store.client import ObjectStore
from tests.support.aws import s3_client
from tests.support.contexts import context_on
from tests.support.lying_store import LyingStore, listing
from tests.support.notifications import body, s3_record
from tests.support.recording import deliver_messages

KEYS = [f"k{number:02}" for number in range(30)]


@pytest.fixture
def engine(new_migrated_database: Callable[[], str]) -> Iterator[Engine]:
    """A catalogue that knows `KEYS`."""
    engine = create_catalog_engine(new_migrated_database())
    told = [body(s3_record("ObjectCreated:Put", key, bucket="b", size=1, etag="e")) for key in KEYS]
    deliver_messages(engine, told, runtime.now())
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(auditing, "_IDLE", 0.001)


@pytest.fixture
def repair(engine: Engine) -> Iterator[Callable[..., Audit]]:
    """Repairs by what a store says."""
    with ExitStack() as cleanup:

        def repair(store: LyingStore, **request: Any) -> Audit:
            s3 = s3_client(cleanup.enter_context(store.running()).url)
            ctx = context_on(engine, ObjectStore(s3, s3, lambda: EVERYTHING))
            return auditing.audit(ctx, AuditRequest("b", repairs=True, grace=timedelta(), **request))

        yield repair


def stored(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(text("SELECT key FROM files WHERE state = 'stored' ORDER BY key")))


@pytest.mark.parametrize(
    "lie",
    [
        b"",
        b"<html><body>Sign in to the hotel's network</body></html>",
        listing(*KEYS)[:-40],
        b"<ListVersionsResult></ListVersionsResult>",
        b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>",
        listing(*KEYS).replace(b"<IsLatest>true</IsLatest>", b"", 1),
        listing(*KEYS).replace(b"<Size>1</Size>", b"<Size>much</Size>", 1),
        b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
        503,
        500,
    ],
)
def test_what_is_no_listing_is_asked_for_again(engine: Engine, repair: Callable[..., Audit], lie: bytes | int) -> None:
    audit = repair(LyingStore(lie, listing(*KEYS)))
    assert (audit.state, audit.compared, audit.drift) == ("done", len(KEYS), 0)
    assert stored(engine) == KEYS


def test_pages_that_go_round_in_a_circle_end_the_work(engine: Engine, repair: Callable[..., Audit]) -> None:
    first, second = listing("a", "b", truncated=True), listing("c", "d", truncated=True)
    with pytest.raises(StoreUnavailable):
        repair(LyingStore(*[first, second] * 20))
    assert set(KEYS) <= set(stored(engine))


def test_an_answer_that_breaks_off_is_asked_for_again(engine: Engine, repair: Callable[..., Audit]) -> None:
    audit = repair(LyingStore(listing(*KEYS), cut=2))
    assert (audit.state, audit.compared, audit.drift) == ("done", len(KEYS), 0)


@pytest.mark.parametrize("lie", [b"<html/>", 503, listing("a", "b", truncated=True)])
def test_a_store_that_never_answers_right_ends_the_work_and_removes_nothing(
    engine: Engine, repair: Callable[..., Audit], lie: bytes | int
) -> None:
    with pytest.raises(StoreUnavailable):
        repair(LyingStore(lie))
    assert set(KEYS) <= set(stored(engine))
    with engine.connect() as connection:
        state, problem = connection.execute(text("SELECT state, problem FROM audits")).one()
        assert (state, bool(problem)) == ("listing", True)
        assert connection.scalar(text("SELECT count(*) FROM audit_ranges WHERE worker IS NOT NULL")) == 0


def test_an_object_that_a_listing_leaves_out_is_not_gone(engine: Engine, repair: Callable[..., Audit]) -> None:
    audit = repair(LyingStore(listing(*KEYS[2:]), head=200))
    assert (audit.state, audit.gone, audit.recorded) == ("done", 0, 0)
    assert stored(engine) == KEYS


def test_an_object_of_which_the_store_refuses_to_tell_stays_and_nothing_is_proven(
    engine: Engine, repair: Callable[..., Audit]
) -> None:
    audit = repair(LyingStore(listing(*KEYS[2:]), head=403))
    assert (audit.state, audit.gone, audit.recorded) == ("done", 0, 0)
    assert (
        audit.problem
        == "The object store has refused to tell of 2 keys, so nothing is sure of them. The log names them."
    )
    assert stored(engine) == KEYS
    with transaction(engine) as session:
        (truth,) = audits.truth_of(session, ["b"], runtime.now())
    assert truth.agreed_at is None


def test_what_agreed_before_is_not_forgotten_for_an_audit_that_proves_nothing(
    engine: Engine, repair: Callable[..., Audit]
) -> None:
    agreed = repair(LyingStore(listing(*KEYS)))
    repair(LyingStore(listing(*KEYS[2:]), head=403))
    with transaction(engine) as session:
        later = runtime.now() + timedelta(days=100)
        forget_audits(session, later, later)
        (truth,) = audits.truth_of(session, ["b"], runtime.now())
    assert truth.agreed_at == agreed.created_at


@pytest.mark.parametrize("head", [500, 503])
def test_an_object_that_nobody_says_is_gone_stays(engine: Engine, repair: Callable[..., Audit], head: int) -> None:
    with pytest.raises(StoreUnavailable):
        repair(LyingStore(listing(*KEYS[2:]), head=head))
    assert stored(engine) == KEYS


def test_ten_may_always_be_gone(engine: Engine, repair: Callable[..., Audit]) -> None:
    audit = repair(LyingStore(listing(*KEYS[10:])))
    assert (audit.state, audit.gone, audit.recorded) == ("done", 10, 10)
    assert stored(engine) == KEYS[10:]


def test_more_than_the_brake_allows_stops_a_repair_before_anything_is_buried(
    engine: Engine, repair: Callable[..., Audit]
) -> None:
    audit = repair(LyingStore(listing(*KEYS[11:])))
    assert (audit.state, audit.gone, audit.recorded) == ("braked", 11, 0)
    assert audit.problem == "More would be recorded as gone than the brake allows, so the audit has stopped."
    assert stored(engine) == KEYS

    audit = repair(LyingStore(listing(*KEYS[11:])), brake=11 / 30)
    assert (audit.state, audit.gone, audit.recorded) == ("done", 11, 11)
    assert stored(engine) == KEYS[11:]


def test_a_key_that_no_catalogue_can_hold_is_left_out(engine: Engine, repair: Callable[..., Audit]) -> None:
    """S3 takes a NUL in a key, and PostgreSQL none in a text. Here a whole page has no other keys."""
    pages = (
        listing("\0", *KEYS[:10], "k09\0", truncated=True),
        listing("k09\0\0", "k09\0a", truncated=True),
        listing(*KEYS[10:], "k29\0"),
    )
    audit = repair(LyingStore(*pages))
    assert (audit.state, audit.compared, audit.drift) == ("done", len(KEYS), 0)


def test_what_is_listed_besides_the_range_asked_for_is_left_out(engine: Engine, repair: Callable[..., Audit]) -> None:
    """A store that ignores the prefix."""
    audit = repair(LyingStore(listing(*KEYS, "other")), prefix="k0")
    assert (audit.compared, audit.drift) == (10, 0)


def test_a_listing_does_not_undo_a_later_event_of_an_unversioned_key(
    engine: Engine, repair: Callable[..., Audit]
) -> None:
    old = listing(*KEYS, modified="2026-11-23T11:59:59.000Z", etag="old")
    assert repair(LyingStore(old)).recorded == 0
    with engine.connect() as connection:
        assert set(connection.scalars(text("SELECT etag FROM files"))) == {"e"}
