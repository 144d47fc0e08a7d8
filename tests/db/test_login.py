"""Logging in as a deployment does: over TLS that is checked, with a token that is made anew for each connection."""

import ssl
from collections.abc import Iterator
from itertools import count

import pytest
from sqlalchemy import create_engine, make_url, text

from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.errors import DatabaseUnavailable
from dev.stack import ephemeral_postgres
from tests.support.tls_proxy import CERTIFICATES, tls_proxy


@pytest.fixture(scope="module")
def guest_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database behind TLS on ``localhost`` whose role ``guest`` needs the password of the day."""
    with ephemeral_postgres(tmp_path_factory.mktemp("tls")) as postgres, tls_proxy(postgres.port) as port:
        admin = create_engine(postgres.url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text("CREATE ROLE guest LOGIN PASSWORD 'token-1'"))
        admin.dispose()
        rules = postgres.data / "pg_hba.conf"
        rules.write_text("host all guest all scram-sha-256\n" + rules.read_text())
        postgres.restart()
        yield make_url(postgres.url).set(host="localhost", port=port, username="guest").render_as_string()


@pytest.fixture
def tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem"))


def test_every_new_connection_gets_a_new_token_over_tls(guest_url: str, tls: ssl.SSLContext) -> None:
    numbers = count(1)
    engine = create_catalog_engine(guest_url, tls=tls, password=lambda: f"token-{next(numbers)}")
    with transaction(engine) as session:
        assert session.execute(text("SELECT current_user")).scalar_one() == "guest"
    engine.dispose()

    with pytest.raises(Exception, match="password authentication failed"), transaction(engine) as session:
        session.execute(text("SELECT 1"))  # the second token is not today's


def test_a_server_of_an_unknown_authority_is_not_trusted(guest_url: str) -> None:
    engine = create_catalog_engine(guest_url, tls=ssl.create_default_context(), password=lambda: "token-1")
    with pytest.raises(DatabaseUnavailable), transaction(engine) as session:
        session.execute(text("SELECT 1"))


def test_a_server_by_another_name_is_not_trusted(guest_url: str, tls: ssl.SSLContext) -> None:
    url = make_url(guest_url).set(host="127.0.0.1")
    engine = create_catalog_engine(url, tls=tls, password=lambda: "token-1")
    with pytest.raises(DatabaseUnavailable), transaction(engine) as session:
        session.execute(text("SELECT 1"))


def test_a_server_without_tls_is_refused(tls: ssl.SSLContext, postgres_url: str) -> None:
    engine = create_catalog_engine(postgres_url, tls=tls)
    with pytest.raises(DatabaseUnavailable), transaction(engine) as session:
        session.execute(text("SELECT 1"))


def test_without_tls_no_encryption_is_tried(guest_url: str) -> None:
    """Encryption without a check of the server is no option of ours."""
    engine = create_catalog_engine(guest_url, password=lambda: "token-1")
    with pytest.raises(DatabaseUnavailable), transaction(engine) as session:
        session.execute(text("SELECT 1"))
