"""The only singletons of a process: settings, clock, database engine, S3 client. Each is made at its first use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import Engine, make_url
from sqlalchemy.orm import Session

from chalicelib.catalog.acts import BY_CLOCK, Cause
from chalicelib.catalog.rates import Rate
from chalicelib.db.engine import create_catalog_engine
from chalicelib.db.engine import transaction as engine_transaction
from chalicelib.services.accounts.key_sets import reader_of
from chalicelib.services.accounts.principals import LANDFALL, Callers, Principal
from chalicelib.services.accounts.rates import Rates
from chalicelib.services.accounts.signing_keys import SigningKeys
from chalicelib.services.context import Context
from chalicelib.services.upkeep.probing import StoreGuarantees
from chalicelib.settings import Settings

if TYPE_CHECKING:
    from ssl import SSLContext

    from chalicelib.store.client import ObjectStore


@cache
def settings() -> Settings:
    """The settings of this process."""
    return Settings.from_environment()


@cache
def engine() -> Engine:
    """The engine of this process. A Lambda container keeps it, and its connection, between invocations."""
    options = settings()
    return create_catalog_engine(
        options.database_url,
        options.database_pool_size,
        options.statement_timeout_ms,
        tls=_tls(),
        password=_password_maker(),
    )


def engine_of(user: str, password: str) -> Engine:
    """A new engine that logs in to this process's database as another database user; dispose of it after use."""
    options = settings()
    url = make_url(options.database_url).set(username=user, password=password)
    return create_catalog_engine(url, 1, options.statement_timeout_ms, tls=_tls())


@cache
def store() -> "ObjectStore":
    """The object store."""
    from chalicelib.store.client import ObjectStore  # saves 5 ms, and botocore's 50

    options = settings()
    return ObjectStore.connect(options.region, options.s3_endpoint, options.s3_public_endpoint, guarantees())


@cache
def guarantees() -> StoreGuarantees:
    """What the object store honours of what S3 promises: AWS all of it, another store what a probe has shown."""
    return StoreGuarantees(context)


@cache
def callers() -> Callers:
    """How callers are identified. The public keys of identity providers are kept between invocations."""
    read = reader_of(settings(), lambda bucket, key, limit: store().read_document(bucket, key, limit))
    return Callers(settings(), SigningKeys(read), now)


@cache
def rates() -> Rates:
    """How often callers ask of this process, and may ask of all."""
    options = settings()
    rate = Rate(options.requests_per_second, options.request_burst) if options.requests_per_second else None
    return Rates(rate, transaction)


@contextmanager
def transaction() -> Iterator[Session]:
    """A session on this process's engine; see `chalicelib.db.engine.transaction`."""
    with engine_transaction(engine()) as session:
        yield session


def context(principal: Principal = LANDFALL, cause: Cause = BY_CLOCK) -> Context:
    """What services need to do what ``principal`` asks. By default Landfall acts itself: for a notification or the clock."""
    return Context(transaction, store, settings(), principal, now, cause)


def begin_anew() -> None:
    """Close connections, and forget keys and counts, which a copy of another process would take for its own and for fresh.

    Settings stay: they are the same for all copies. So does the object store, which has no open connection before its first use.
    """
    if engine.cache_info().currsize:
        engine().dispose(close=False)  # other copies may hold the same connection, and would lose it
    for singleton in (callers, rates):
        singleton.cache_clear()


def _tls() -> "SSLContext | None":
    if settings().database_tls == "off":
        return None
    from chalicelib.db.tls import verifying_context  # saves 1 ms, and needs the vendored certificates only here

    return verifying_context()


def _password_maker() -> Callable[[], str] | None:
    """What makes the password of each new connection; None for the URL's own."""
    options = settings()
    if options.database_login == "secret":
        from chalicelib.store.database_secret import secret_reader  # saves 48 ms: botocore

        return secret_reader(options.database_secret or "", options.region)
    if options.database_login == "iam":
        from chalicelib.store.database_token import token_signer  # saves 48 ms: botocore

        url = make_url(options.database_url)
        return token_signer(url.host or "", url.port or 5432, url.username or "", options.region)
    return None


def now() -> datetime:
    """The current time in UTC, to the millisecond: as exact as a UUIDv7, so that sorting by id is sorting by time."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
