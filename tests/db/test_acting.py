"""For whom the statements of one connection act: it ends with the transaction, whatever becomes of that."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from chalicelib.db.engine import (
    Session,
    act_for,
    acting_for,
    create_catalog_engine,
    prepared_read,
    prepared_write,
    savepoint,
    transaction,
)
from chalicelib.db.migrate import upgrade
from chalicelib.db.scope import EVERYONE, Owner
from tests.support.messages import count_messages
from tests.support.tenants import ADA, EVE, add_tenants

_WHO = """
SELECT current_user = 'landfall_members', coalesce(current_setting('landfall.user_id', true), ''),
    current_setting('landfall.prefix', true), current_setting('landfall.session_id', true), current_setting('search_path'),
    CAST(count(*) AS int) FROM files"""
WHO, READ, WRITE = text(_WHO), prepared_read(text(_WHO)), prepared_write(text(_WHO))
EVERY = [WHO, READ, WRITE]


@pytest.fixture(scope="module")
def filled(new_migrated_database: Callable[[], str]) -> str:
    url = new_migrated_database()
    engine = create_catalog_engine(url)
    add_tenants(engine)
    engine.dispose()
    return url


@pytest.fixture
def engine(filled: str) -> Iterator[Engine]:
    """Its pool has one connection, and its users come one after the other."""
    engine = create_catalog_engine(filled)
    yield engine
    engine.dispose()


def _assert_landfall(session: Session) -> None:
    for statement in EVERY:
        is_member, _, _, _, path, count = session.execute(statement).one()
        assert (is_member, path, count) == (False, '"$user", public', 4)


def _assert_ada(session: Session, **part: str) -> None:
    for statement in EVERY:
        is_member, user, prefix, session_id, path, count = session.execute(statement).one()
        assert (is_member, user) == (True, str(ADA))
        assert (prefix, session_id) == (part.get("prefix", ""), part.get("session_id", ""))
        assert path.startswith("landfall_part" if part else "landfall_member")
        assert count == (3 if not part else 0)


def test_nothing_outlasts_a_transaction(engine: Engine) -> None:
    for _ in range(2):
        with transaction(engine) as session:
            act_for(session, Owner(ADA))
            _assert_ada(session)
        with transaction(engine) as session:
            _assert_landfall(session)


@pytest.mark.parametrize("statement", EVERY, ids=["plain", "prepared read", "prepared write"])
def test_nothing_outlasts_a_single_statement_an_error_or_a_rollback(engine: Engine, statement: object) -> None:
    with transaction(engine) as session:
        act_for(session, Owner(ADA))
        assert session.execute(statement).one()[5] == 3  # type: ignore[call-overload]
    with transaction(engine) as session:
        _assert_landfall(session)
    with pytest.raises(DBAPIError), transaction(engine) as session:
        act_for(session, Owner(ADA))
        session.execute(statement)  # type: ignore[call-overload]
        session.execute(text("SELECT 1 / 0"))
    with transaction(engine) as session:
        _assert_landfall(session)
    with pytest.raises(ZeroDivisionError), transaction(engine) as session:
        act_for(session, Owner(ADA))
        session.execute(statement)  # type: ignore[call-overload]
        raise ZeroDivisionError
    with transaction(engine) as session:
        _assert_landfall(session)


def test_a_failed_prepared_read_leaves_nothing_behind(engine: Engine) -> None:
    with pytest.raises(DBAPIError), transaction(engine) as session:
        act_for(session, Owner(ADA))
        session.execute(prepared_read(text("SELECT 1 / CAST(:n AS int) FROM files")), {"n": 0})
    with transaction(engine) as session:
        _assert_landfall(session)


def test_one_transaction_acts_for_one_after_the_other(engine: Engine) -> None:
    with transaction(engine) as session:
        _assert_landfall(session)
        act_for(session, Owner(ADA))
        _assert_ada(session)
        with acting_for(session, EVERYONE):
            _assert_landfall(session)
            with acting_for(session, Owner(EVE)):
                assert session.execute(WHO).one()[5] == 0
            _assert_landfall(session)
        _assert_ada(session)
        act_for(session, Owner(ADA, "' || \\ \"", "é'"))
        _assert_ada(session, prefix="' || \\ \"", session_id="é'")


def test_a_block_that_fails_ends_too(engine: Engine) -> None:
    with transaction(engine) as session:
        act_for(session, Owner(ADA))
        with pytest.raises(ZeroDivisionError), acting_for(session, EVERYONE):
            _assert_landfall(session)
            raise ZeroDivisionError
        _assert_ada(session)


def test_a_savepoint_that_is_rolled_back_changes_nobody(engine: Engine) -> None:
    with transaction(engine) as session:
        act_for(session, Owner(ADA))
        for before in (False, True):
            if before:
                _assert_ada(session)
            with pytest.raises(DBAPIError), savepoint(session):
                with acting_for(session, EVERYONE):
                    _assert_landfall(session)
                _assert_ada(session)
                session.execute(text("SELECT 1 / 0"))
            _assert_ada(session)
            with acting_for(session, EVERYONE), pytest.raises(DBAPIError), savepoint(session):
                session.execute(text("SELECT 1 / 0"))
            _assert_ada(session)
        with savepoint(session), acting_for(session, EVERYONE):
            _assert_landfall(session)
        _assert_ada(session)


def test_acting_for_a_member_takes_no_message_of_its_own(engine: Engine) -> None:
    counting = count_messages(engine)
    with transaction(engine) as session:
        act_for(session, Owner(ADA))
        session.execute(READ)
    assert counting.sent == 1
    with transaction(engine) as session:
        act_for(session, Owner(ADA))
        session.execute(WHO)
        with acting_for(session, EVERYONE):
            session.execute(WRITE)
    assert counting.sent == 1 + 3, "with the COMMIT"


def test_without_the_right_to_make_roles_the_views_still_hold(new_database: Callable[[str | None], str]) -> None:
    """As on a server that is somebody else's, with a user that owns one database of it."""
    admin = create_catalog_engine(new_database(None))
    with admin.begin() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        for statement in (
            "CREATE ROLE guest_of_server LOGIN",
            "GRANT guest_of_server TO CURRENT_USER WITH SET TRUE",
            f"ALTER DATABASE {name} OWNER TO guest_of_server",
        ):
            connection.execute(text(statement))
    guest = create_catalog_engine(admin.url.set(username="guest_of_server"))
    upgrade(guest)
    add_tenants(guest)
    guest.dispose()  # what a connection may is found out when it is made
    for user, count in ((ADA, 3), (EVE, 0)):
        with transaction(guest) as session:
            act_for(session, Owner(user))
            is_member, _, _, _, path, found = session.execute(READ).one()
            assert (is_member, path.startswith("landfall_member"), found) == (False, True, count)
    with transaction(guest) as session:
        _assert_landfall(session)
    guest.dispose()
    admin.dispose()
