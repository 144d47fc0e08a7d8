"""The queue of jobs: none of them holds up the others."""

from datetime import timedelta
from itertools import count
from typing import Any, get_args, get_type_hints
from uuid import UUID

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.catalog.commands import COMMANDS, EmptyTrash
from chalicelib.catalog.progress import PROGRESS
from chalicelib.db.models import User
from chalicelib.errors import NotFound
from chalicelib.ids import uuid7
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.accounts.users import disable_user
from chalicelib.services.jobs import sweep
from chalicelib.services.jobs.kinds import KINDS
from chalicelib.services.jobs.queue import Steps, Work, cancel_job, create_job, find_due_jobs, run_job
from chalicelib.services.removal.deletion import delete_found
from tests.support.backend import Backend
from tests.support.dying import Died, die


def test_a_job_that_no_release_understands_fails_in_the_end(backend: Backend) -> None:
    with backend.context().transaction() as tx:
        job = create_job(tx, EmptyTrash(tx.now, everyones=False))
    with runtime.transaction() as session:
        session.execute(text("UPDATE jobs SET command = '{}' WHERE id = :id"), {"id": job.id})

    states = [backend.run(job.id, minutes=20 * number).state for number in range(5)]
    assert states == ["queued"] * 4 + ["failed"]
    with backend.context(hours=24).transaction() as tx:
        assert job.id not in find_due_jobs(tx, 100)


def test_a_job_that_cannot_be_taken_back_ends_all_the_same(backend: Backend) -> None:
    with backend.context().transaction() as tx:
        job = create_job(tx, EmptyTrash(tx.now, everyones=False))

    def fail(_: object) -> bool:
        raise ZeroDivisionError

    run_job(backend.context(), {"empty_trash": Steps(fail, undo=fail)}, job.id, 5.0)
    assert backend.run(job.id).state == "failed"


def test_a_job_whose_process_dies_each_time_it_is_taken_back_ends_all_the_same(backend: Backend) -> None:
    with backend.context().transaction() as tx:
        job = create_job(tx, EmptyTrash(tx.now, everyones=False))
    dies: Any = {"empty_trash": Steps(die, undo=die)}

    for number in range(10):
        with pytest.raises(Died):
            run_job(backend.context(hours=number), dies, job.id, 5.0)
    run_job(backend.context(hours=10), dies, job.id, 5.0)
    ended = backend.run(job.id, minutes=60 * 11)
    assert (ended.state, "It was begun 10 times in a row" in ended.problem) == ("failed", True)


def test_everyones_trash_is_emptied_only_while_its_owner_is_an_operator(backend: Backend) -> None:
    deleted = backend.store_file()
    delete_found(backend.context(), deleted)
    other = uuid7(runtime.now())
    with runtime.transaction() as session:
        session.add(User(id=other, name="o", role="operator", created_at=runtime.now(), updated_at=runtime.now()))
    with backend.context(principal=Principal(other, "operator")).transaction() as tx:
        job = create_job(tx, EmptyTrash(tx.now + timedelta(minutes=1), everyones=True))
    with runtime.transaction() as session:
        session.execute(text("UPDATE users SET role = 'member' WHERE id = :id"), {"id": other})

    ended = backend.run(job.id)
    assert (ended.state, ended.problem) == ("failed", "Only operators empty everyone's trash.")
    assert len(backend.s3.list_object_versions(Bucket="backend", Prefix=backend.file(deleted).key)["Versions"]) == 1


def test_a_member_is_not_kept_waiting_for_the_job_of_another(backend: Backend) -> None:
    with backend.context().transaction() as tx:
        job = create_job(tx, EmptyTrash(tx.now, everyones=False))
    stranger = backend.context(principal=Principal(uuid7(runtime.now()), "member"))

    with runtime.transaction() as session:
        session.execute(text("SELECT 1 FROM jobs WHERE id = :id FOR UPDATE"), {"id": job.id})
        with pytest.raises(NotFound), stranger.transaction() as tx:
            tx.session.execute(text("SET LOCAL lock_timeout = 100"))
            cancel_job(tx, job.id)


def test_every_kind_of_job_is_done_by_steps_of_its_own_types() -> None:
    for kind, steps in KINDS.items():
        work = get_type_hints(steps.step)["work"]
        assert get_args(work) == (COMMANDS[kind], PROGRESS[kind])


def test_a_job_of_a_disabled_user_stops_before_its_next_step(backend: Backend) -> None:
    user = uuid7(runtime.now())
    with runtime.transaction() as session:
        session.add(User(id=user, name="u", role="member", created_at=runtime.now(), updated_at=runtime.now()))
    with backend.context(principal=Principal(user, "member")).transaction() as tx:
        job = create_job(tx, EmptyTrash(tx.now, everyones=False))
    steps: list[object] = []

    def disable(work: object) -> bool:
        steps.append(work)
        with backend.context().transaction() as tx:
            disable_user(tx, user)
        return False

    run_job(backend.context(), {"empty_trash": Steps(disable)}, job.id, 5.0)
    ended = backend.run(job.id)
    assert (len(steps), ended.state, ended.problem) == (1, "cancelled", "Its owner is disabled.")


def _die(backend: Backend, job_id: UUID, steps: Steps[Any, Any], times: int) -> None:
    """Have the job's process die so often, each time when the lease of the one before is up."""
    for number in range(times):
        with pytest.raises(Died):
            run_job(backend.context(hours=number / 15), {"empty_trash": steps}, job_id, 5.0)


def test_a_job_whose_processes_have_died_is_cancelled_all_the_same(backend: Backend) -> None:
    with backend.context().transaction() as tx:
        job = create_job(tx, EmptyTrash(tx.now, everyones=False))
    _die(backend, job.id, Steps(die), 5)
    with backend.context().transaction() as tx:
        cancel_job(tx, job.id)

    ended = backend.run(job.id, minutes=20)
    assert (ended.state, ended.problem) == ("cancelled", "The job was cancelled.")


def test_a_job_that_comes_further_each_time_may_die_any_number_of_times(backend: Backend) -> None:
    with backend.context().transaction() as tx:
        job = create_job(tx, EmptyTrash(tx.now, everyones=False))

    begun = count(1)

    def die_at_the_second(work: Work[Any, Any]) -> bool:
        return die() if next(begun) % 2 == 0 else False

    _die(backend, job.id, Steps(die_at_the_second), 6)
    assert backend.run(job.id, minutes=24).state == "done"


def test_a_trash_is_emptied_however_often_its_process_dies_after_some_file(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [backend.store_file() for _ in range(7)]
    for file_id in files:
        delete_found(backend.context(), file_id)
    with backend.context().transaction() as tx:
        job = create_job(tx, EmptyTrash(tx.now, everyones=False))
    purge, purged = sweep.purge, []

    def die_at_the_second(*arguments: Any) -> None:
        if len(purged) % 2:
            purged.append(None)
            die()
        purge(*arguments)
        purged.append(arguments[1])

    monkeypatch.setattr(sweep, "purge", die_at_the_second)
    _die(backend, job.id, KINDS["empty_trash"], 6)
    assert backend.run(job.id, minutes=24).state == "done"
    assert [one for one in purged if one] == files
