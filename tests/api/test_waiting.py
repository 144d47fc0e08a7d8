"""How many requests may wait at once: each holds a function."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from itertools import islice
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from tests.support.api import Answer, Api, assert_problem
from tests.support.uploads import begin
from tests.support.users import new_member

Serve = Callable[..., Any]
# Longer than any test needs, so that nobody is answered before the test lets it.
_LONG = 20


@pytest.fixture(scope="module")
def few_url(new_migrated_database: Callable[[], str]) -> str:
    return new_migrated_database()


@pytest.fixture(scope="module")
def few_api(serve: Serve, few_url: str) -> Iterator[Api]:
    """A server where few requests may wait."""
    with serve(few_url, LANDFALL_WAITS_PER_USER="2", LANDFALL_WAITS="3") as api:
        yield api


@pytest.fixture
def rows(few_url: str) -> Iterator[Engine]:
    """The database, with nobody waiting."""
    engine = create_engine(few_url)
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE waits"))
    yield engine
    engine.dispose()


class Waiting:
    """Requests that wait, each for a pending file of its user, until the file is stored."""

    def __init__(self, pool: ThreadPoolExecutor, rows: Engine) -> None:
        self.pool, self.rows = pool, rows
        self.answers: list[Future[Answer]] = []

    def add(self, user: Api) -> None:
        """Let one more request wait; returns when it does."""
        path = f"/api/files/{begin(user, size=5)['id']}?wait={_LONG}"
        self.answers.append(self.pool.submit(user, "GET", path))
        while self.count() < len(self.answers):
            time.sleep(0.02)

    def count(self) -> int:
        with self.rows.connect() as connection:
            return int(connection.execute(text("SELECT count(*) FROM waits")).scalar_one())

    def end(self) -> list[Answer]:
        """Store all files; says what the waiting requests were answered."""
        with self.rows.begin() as connection:
            connection.execute(text("UPDATE files SET state = 'stored', size = 5, version_id = ''"))
        return [answer.result() for answer in self.answers]


@pytest.fixture
def waiting(rows: Engine) -> Iterator[Waiting]:
    with ThreadPoolExecutor(6) as pool:
        made = Waiting(pool, rows)
        yield made
        made.end()


def test_one_request_too_many_is_answered_at_once_and_says_so(few_api: Api, waiting: Waiting) -> None:
    ada = new_member(few_api, "Ada")
    waiting.add(ada)
    waiting.add(ada)
    file = begin(ada, size=5)

    for path in (f"/api/files/{file['id']}?wait={_LONG}", f"/api/files?key={file['key']}&wait={_LONG}"):
        answer = ada("GET", path)
        assert (answer.status, answer.headers["X-Landfall-Wait"]) == (200, "refused")
    assert waiting.count() == 2

    answers = waiting.end()
    assert [(answer.status, answer.json["state"], answer.headers["X-Landfall-Wait"]) for answer in answers] == [
        (200, "stored", None)
    ] * 2
    assert waiting.count() == 0, "places are free again"


def test_all_users_together_may_wait_only_so_often(few_api: Api, waiting: Waiting) -> None:
    ada, bob, eve = (new_member(few_api, name) for name in ("Ada", "Bob", "Eve"))
    for user in (ada, ada, bob):
        waiting.add(user)
    answer = eve("GET", f"/api/files/{begin(eve, size=5)['id']}?wait={_LONG}")
    assert answer.headers["X-Landfall-Wait"] == "refused"


def test_who_need_not_wait_takes_no_place(few_api: Api, waiting: Waiting) -> None:
    ada = new_member(few_api, "Ada")
    waiting.add(ada)
    waiting.add(ada)
    file = begin(ada, size=5)
    answer = ada("GET", f"/api/files/{file['id']}")
    assert (answer.json["state"], answer.headers["X-Landfall-Wait"]) == ("pending", None)


def test_of_many_who_come_at_once_only_so_many_wait(few_api: Api, waiting: Waiting) -> None:
    ada = new_member(few_api, "Ada")
    paths = [f"/api/files/{begin(ada, size=5)['id']}?wait={_LONG}" for _ in range(6)]
    waiting.answers = [waiting.pool.submit(ada, "GET", path) for path in paths]
    refused = list(islice(as_completed(waiting.answers), 4))
    assert [answer.result().headers["X-Landfall-Wait"] for answer in refused] == ["refused"] * 4
    assert waiting.count() == 2


def test_the_place_of_a_process_that_died_is_free_when_its_time_is_over(few_api: Api, rows: Engine) -> None:
    ada = new_member(few_api, "Ada")
    with rows.begin() as connection:
        left = text("""
            INSERT INTO waits SELECT gen_random_uuid(), CAST(:user AS uuid), now() + n * interval '1 hour'
            FROM unnest(ARRAY[-1, -1, 1]) AS n""")
        connection.execute(left, {"user": ada.user_id})
    file = begin(ada, size=5)
    answer = ada("GET", f"/api/files/{file['id']}?wait=1")
    assert answer.headers["X-Landfall-Wait"] is None
    with rows.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM waits")).scalar_one() == 1


def test_who_loses_its_right_while_it_waits_is_not_answered(few_api: Api, waiting: Waiting) -> None:
    ada, bob = new_member(few_api, "Ada"), new_member(few_api, "Bob")
    key = ada("POST", "/api/keys", {"name": "machine", "scopes": ["read"]}).json
    ada("POST", "/api/sessions", {"session_id": "shared"})
    member = ada("POST", "/api/sessions/shared/members", {"user_id": bob.user_id, "role": "viewer"}).json
    path = f"/api/files/{begin(ada, size=5, session_id='shared')['id']}?wait={_LONG}"
    for caller in (Api(ada.port, ada.log, {"Authorization": f"Bearer {key['secret']}"}), bob):
        waiting.answers.append(waiting.pool.submit(caller, "GET", path))
    while waiting.count() < 2:
        time.sleep(0.02)

    assert ada("DELETE", f"/api/keys/{key['id']}").status == 204
    assert ada("DELETE", f"/api/sessions/shared/members/{member['id']}").status == 204
    assert [answer.status for answer in waiting.end()] == [401, 404]


def test_an_operator_who_becomes_a_member_while_it_waits_is_not_answered(few_api: Api, waiting: Waiting) -> None:
    boss, ada = new_member(few_api, "Boss", role="operator"), new_member(few_api, "Ada")
    file = begin(ada, size=5)
    for path in (f"/api/files/{file['id']}?wait={_LONG}", f"/api/files?key={file['key']}&wait={_LONG}"):
        waiting.answers.append(waiting.pool.submit(boss, "GET", path))
    while waiting.count() < 2:
        time.sleep(0.02)
    assert few_api("PATCH", f"/api/users/{boss.user_id}", {"role": "member"}).status == 200
    for answer in waiting.end():
        assert_problem(answer, 403, "forbidden")


def test_a_member_who_becomes_an_operator_while_it_waits_is_answered_what_it_asked_for(
    few_api: Api, waiting: Waiting
) -> None:
    ada = new_member(few_api, "Ada")
    waiting.add(ada)
    assert few_api("PATCH", f"/api/users/{ada.user_id}", {"role": "operator"}).status == 200
    assert [answer.status for answer in waiting.end()] == [200]
