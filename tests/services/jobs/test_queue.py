"""The queue of jobs: none of them holds up the others."""

from datetime import timedelta
from typing import get_args, get_type_hints

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
from chalicelib.services.jobs.kinds import KINDS
from chalicelib.services.jobs.queue import Steps, cancel_job, create_job, find_due_jobs, run_job
from chalicelib.services.removal.deletion import delete_found
from tests.support.backend import Backend


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
