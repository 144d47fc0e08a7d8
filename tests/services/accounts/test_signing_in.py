"""People who come with a token become users, each of them once."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from sqlalchemy import Engine, text

from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.services.accounts.signing_in import user_of
from chalicelib.services.accounts.tokens import Identity
from tests.support.notifications import NOON

_numbers = count()


@pytest.fixture(scope="module")
def engine(database_url: str) -> Engine:
    return create_catalog_engine(database_url, pool_size=8)


@pytest.fixture
def ada() -> Identity:
    number = next(_numbers)
    return Identity("https://a.example/", f"ada-{number}", "Ada", f"ada-{number}@example.com")


def come(engine: Engine, identity: Identity) -> tuple[str, str]:
    with transaction(engine) as session:
        known = user_of(session, identity, NOON)
        return str(known.user_id), known.role


def row_of(engine: Engine, user_id: str) -> tuple[str, str | None]:
    with transaction(engine) as session:
        return tuple(session.execute(text("SELECT name, email FROM users WHERE id = :id"), {"id": user_id}).one())


def test_who_comes_again_is_the_same_user(engine: Engine, ada: Identity) -> None:
    user_id, role = come(engine, ada)
    assert role == "member"
    assert row_of(engine, user_id) == ("Ada", ada.email)
    renamed = Identity(ada.issuer, ada.subject, "Countess", "else@example.com")
    assert come(engine, renamed) == (user_id, "member")


def test_the_role_is_that_of_the_users_row(engine: Engine, ada: Identity) -> None:
    user_id, _ = come(engine, ada)
    with transaction(engine) as session:
        session.execute(text("UPDATE users SET role = 'operator' WHERE id = :id"), {"id": user_id})
    assert come(engine, ada) == (user_id, "operator")


def test_a_subject_of_another_issuer_is_somebody_else_and_gets_no_address_of_others(
    engine: Engine, ada: Identity
) -> None:
    user_id, _ = come(engine, ada)
    other = Identity("https://b.example/", ada.subject, None, str(ada.email).upper())
    other_id, _ = come(engine, other)
    assert other_id != user_id
    assert row_of(engine, other_id) == (other.email, None)


def test_somebody_without_name_and_address_is_called_by_the_subject(engine: Engine) -> None:
    user_id, _ = come(engine, Identity("https://a.example/", "x" * 255, None, None))
    assert row_of(engine, user_id) == ("x" * 200, None)


def test_first_requests_at_once_make_one_user(engine: Engine, ada: Identity) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: come(engine, ada), range(16)))
    assert len(found) == 1


def test_different_people_with_one_address_at_once_all_come_in(engine: Engine, ada: Identity) -> None:
    people = [Identity(ada.issuer, f"{ada.subject}-{number}", None, ada.email) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: come(engine, one)[0], people))
    assert len(set(found)) == 8
    assert sorted(row_of(engine, user_id)[1] or "" for user_id in found) == [""] * 7 + [ada.email]


def unverified(identity: Identity) -> Identity:
    return Identity(identity.issuer, identity.subject, identity.name, None)


def invite(engine: Engine, email: str | None) -> None:
    """Have somebody's session shared with an address."""
    owner, _ = come(engine, Identity("https://a.example/", f"owner-{next(_numbers)}", None, None))
    with transaction(engine) as session:
        values = {"owner": owner, "email": email}
        for statement in (
            "INSERT INTO sessions (id, owner_id, session_id, created_at, updated_at)"
            " VALUES (gen_random_uuid(), :owner, 's', now(), now())",
            "INSERT INTO session_members (id, session_row_id, email, role, created_at, updated_at)"
            " SELECT gen_random_uuid(), id, :email, 'viewer', now(), now() FROM sessions WHERE owner_id = :owner",
        ):
            session.execute(text(statement), values)


def invitations(engine: Engine, user_id: str) -> int:
    with transaction(engine) as session:
        count = text("SELECT count(*) FROM session_members WHERE user_id = :id")
        return int(session.execute(count, {"id": user_id}).scalar_one())


def test_an_address_that_is_verified_later_is_taken_and_lets_in_to_what_was_shared_with_it(
    engine: Engine, ada: Identity
) -> None:
    invite(engine, ada.email)
    user_id, _ = come(engine, unverified(ada))
    assert (row_of(engine, user_id), invitations(engine, user_id)) == (("Ada", None), 0)
    assert come(engine, ada)[0] == user_id
    assert (row_of(engine, user_id), invitations(engine, user_id)) == (("Ada", ada.email), 1)
    other = Identity(ada.issuer, ada.subject, "Ada", f"other-{ada.email}")
    come(engine, other)
    assert row_of(engine, user_id) == ("Ada", ada.email), "an address that is there stays"


def test_an_address_that_another_has_by_now_is_not_taken(engine: Engine, ada: Identity) -> None:
    user_id, _ = come(engine, unverified(ada))
    come(engine, Identity("https://b.example/", ada.subject, None, str(ada.email).upper()))
    assert come(engine, ada)[0] == user_id
    assert row_of(engine, user_id) == ("Ada", None)


def test_of_many_with_one_address_at_once_one_takes_it(engine: Engine, ada: Identity) -> None:
    people = [Identity(ada.issuer, f"{ada.subject}-{number}", None, ada.email) for number in range(4)] * 2
    for one in people:
        come(engine, unverified(one))
    invite(engine, ada.email)
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda one: come(engine, one)[0], people))
    assert sorted(row_of(engine, user_id)[1] or "" for user_id in found) == [""] * 3 + [ada.email]
    assert sorted(invitations(engine, user_id) for user_id in found) == [0, 0, 0, 1]
