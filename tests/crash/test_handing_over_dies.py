"""Handing over that dies between any two of its steps goes on: each file changes hands once, and counts once."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.catalog.roles import Membership
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.jobs import delete_user, hand_over
from chalicelib.services.jobs.delete_user import begin_deletion
from chalicelib.services.jobs.hand_over import begin_hand_over
from chalicelib.services.jobs.kinds import run_job
from tests.support.crash_world import Ground, World
from tests.support.forks import Fault, in_fork
from tests.support.steps import some_steps

_ADD_USER = text(
    "INSERT INTO users (id, name, role, created_at, updated_at) VALUES (:id, 'crash', :role, now(), now())"
)
_ADD_SESSION = text(
    "INSERT INTO sessions (id, owner_id, session_id, created_at, updated_at)"
    " VALUES (gen_random_uuid(), :owner, 's', now(), now())"
)
_PUT_INTO_IT = text("UPDATE files SET session_id = 's' WHERE owner_id = :owner")
_GIVEN = text("""
SELECT count(*) AS files, count(f.session_id) AS in_sessions,
    (SELECT files FROM usage_now WHERE owner_id = :to AND session_id = '') AS used,
    coalesce((SELECT sum(files) FROM usage_now WHERE owner_id = :owner), 0) AS left,
    (SELECT count(*) FROM acts WHERE act = 'hand_over' AND subject_id = :to) AS acts,
    (SELECT state || ' ' || (progress ->> 'done') FROM jobs WHERE id = :job) AS job
FROM files AS f WHERE f.owner_id = :to
""")


class Giving:
    """A session of three files, an operator, and somebody who is to get them."""

    def __init__(self, world: World) -> None:
        self.world, self.owner, self.to = world, world.user.user_id, uuid4()
        self.operator = Principal(uuid4(), "operator")
        with world.engine.begin() as connection:
            for user_id, role in ((self.to, "member"), (self.operator.user_id, "operator")):
                connection.execute(_ADD_USER, {"id": user_id, "role": role})
            connection.execute(_ADD_SESSION, {"owner": self.owner})
            connection.execute(_PUT_INTO_IT, {"owner": self.owner})

    def begin_session(self) -> UUID:
        acting = self.operator.acting_as(Membership(self.owner, "s", "owner"))
        with runtime.context(acting).transaction() as tx:
            return begin_hand_over(tx, "s", self.to).id

    def begin_user(self) -> UUID:
        with runtime.context(self.operator).transaction() as tx:
            return begin_deletion(tx, self.owner, self.to).id

    def work_on(self, job_id: UUID) -> None:
        run_job(runtime.context(self.operator), job_id, 60.0)

    def given(self, job_id: UUID) -> Any:
        bound = {"to": self.to, "owner": self.owner, "job": job_id}
        with self.world.engine.connect() as connection:
            return connection.execute(_GIVEN, bound).one()


@pytest.mark.parametrize("fault", ["die_at", "lose_at", "fail_at"])
@pytest.mark.parametrize("what", ["session", "user"])
def test_each_file_is_given_once(ground: Ground, monkeypatch: pytest.MonkeyPatch, what: str, fault: str) -> None:
    for module in (hand_over, delete_user):
        monkeypatch.setattr(module, "_AT_ONCE", 1)
    assert _wrong(lambda: Giving(ground.world(True, monkeypatch)), what, fault) == []


def _wrong(new: Callable[[], Giving], what: str, fault: str) -> list[str]:
    """Every step at which it went wrong. Which are tried is another matter for each fault."""
    wrong = []
    for step in some_steps(3, 1 + len(fault)):
        giving = new()
        giving.world.deliver()
        job_id = UUID(giving.world.done(giving.begin_session if what == "session" else giving.begin_user))
        outcome = in_fork(partial(giving.work_on, job_id), Fault(**{fault: step}))
        giving.world.run_clock(4, 10, 40)
        found = giving.given(job_id)
        if tuple(found) != (3, 0, 3, 0, 3, "done 3"):
            wrong.append(f"{found}, after step {step}, {outcome.steps[-1]}")
        if len(outcome.steps) < step:
            return wrong
    raise AssertionError
