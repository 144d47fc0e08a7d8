"""Many jobs of one member keep nobody else's waiting."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.catalog.commands import EmptyTrash, TakeBack
from chalicelib.db.models import User
from chalicelib.errors import TooManyJobs
from chalicelib.ids import uuid7
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.context import Context
from chalicelib.services.jobs.queue import Steps, create_job, find_due_jobs, run_job
from tests.support.backend import OPTIONS, Backend

MOST = 3
FEW = OPTIONS.model_copy(update={"jobs_per_user": MOST})
AddMember = Callable[[], Context]


@pytest.fixture
def add_member(backend: Backend) -> AddMember:
    """Adds a member, in whose name jobs are made."""
    with runtime.transaction() as session:
        session.execute(text("DELETE FROM jobs"))

    def add() -> Context:
        user, now = uuid7(runtime.now()), runtime.now()
        with runtime.transaction() as session:
            session.add(User(id=user, name="u", role="member", created_at=now, updated_at=now))
        return backend.context(settings=FEW, principal=Principal(user, "member"))

    return add


def ask(ctx: Context) -> UUID:
    with ctx.transaction() as tx:
        return create_job(tx, EmptyTrash(tx.now, everyones=False)).id


def due(backend: Backend, limit: int) -> list[UUID]:
    with backend.context().transaction() as tx:
        return list(find_due_jobs(tx, limit))


def test_a_member_may_have_so_many_open_jobs_and_more_when_one_has_ended(
    backend: Backend, add_member: AddMember
) -> None:
    bob, cyd = add_member(), add_member()
    first, *_ = [ask(bob) for _ in range(MOST)]
    with pytest.raises(TooManyJobs, match=f"{MOST}"):
        ask(bob)
    key = bob.acting(Principal(bob.principal.user_id, "member", prefix="a/"))
    with pytest.raises(TooManyJobs):
        ask(key)
    ask(cyd)

    assert backend.run(first).state == "done"
    ask(key)


def test_of_many_jobs_that_are_asked_for_at_once_no_more_are_made(add_member: AddMember) -> None:
    bob = add_member()

    def is_taken(_: int) -> bool:
        try:
            ask(bob)
        except TooManyJobs:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(is_taken, range(12))) == MOST


def test_neither_an_operator_nor_what_nobody_asked_for_is_refused(backend: Backend, add_member: AddMember) -> None:
    operator, bob = backend.context(settings=FEW), add_member()
    for _ in range(MOST):
        ask(operator)
        ask(bob)
    ask(operator)
    with bob.transaction() as tx:
        create_job(tx, TakeBack([]))


def test_the_clock_takes_each_owners_jobs_in_turn(backend: Backend, add_member: AddMember) -> None:
    bob, cyd, dan = add_member(), add_member(), add_member()
    of_bob = [ask(bob) for _ in range(MOST)]
    of_cyd = [ask(cyd) for _ in range(2)]
    of_dan = ask(dan)

    assert set(due(backend, 3)) == {of_bob[0], of_cyd[0], of_dan}
    found = due(backend, 100)
    assert set(found[3:5]) == {of_bob[1], of_cyd[1]}
    assert found[5:] == [of_bob[2]]


def test_of_one_owners_jobs_that_which_was_worked_on_comes_last(backend: Backend, add_member: AddMember) -> None:
    bob = add_member()
    jobs = [ask(bob) for _ in range(MOST)]
    run_job(backend.context(hours=1 / 3600), {"empty_trash": Steps(lambda _: False)}, jobs[0], 0)

    with backend.context(hours=1).transaction() as tx:
        assert list(find_due_jobs(tx, 100)) == [*jobs[1:], jobs[0]]


def test_each_owner_has_its_turn_in_some_run_although_none_has_time_for_all(
    backend: Backend, add_member: AddMember
) -> None:
    ours = {ask(add_member()) for _ in range(4)}
    taken = {due(backend, 1)[0] for _ in range(200)}
    assert taken == ours
