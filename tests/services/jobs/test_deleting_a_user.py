"""The deletion of a user as a job: in steps, each of which may be the last one of its process."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.catalog.commands import DeleteUser, EmptyTrash
from chalicelib.db.models import User
from chalicelib.errors import Conflict, DatabaseUnavailable, StoreUnavailable, Unprocessable
from chalicelib.ids import uuid7
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.accounts.users import change_user, disable_user
from chalicelib.services.accounts.users import delete_user as delete_user_at_once
from chalicelib.services.jobs import delete_user
from chalicelib.services.jobs.delete_user import begin_deletion
from chalicelib.services.jobs.move import begin_move
from chalicelib.services.jobs.queue import Work, create_job
from chalicelib.services.removal import trash
from chalicelib.services.uploads import completion, direct
from chalicelib.services.uploads.reservations import UploadRequest
from tests.support.backend import Backend
from tests.support.dying import Died, die


@pytest.fixture
def user() -> UUID:
    return new_user()


def new_user() -> UUID:
    user_id = uuid7(runtime.now())
    with runtime.transaction() as session:
        session.add(User(id=user_id, name="u", role="member", created_at=runtime.now(), updated_at=runtime.now()))
    return user_id


def fill(backend: Backend, user: UUID, count: int = 5) -> None:
    ctx = backend.context(principal=Principal(user, "member"))
    for _ in range(count):
        begun = direct.begin(ctx, UploadRequest(name="a", size=5))
        backend.put(begun, b"hello")
        completion.complete(ctx, begun.file.id, None)


def begin(backend: Backend, user: UUID, to: UUID | None = None) -> UUID:
    with backend.context().transaction() as tx:
        return begin_deletion(tx, user, to).id


def run(backend: Backend, job_id: UUID, minutes: float = 0) -> Any:
    """Work on a job until it has ended, however slow this machine is."""
    while (ended := backend.run(job_id, minutes)).state == "queued":
        pass
    return ended


def count(what: str, user: UUID) -> int:
    with runtime.transaction() as session:
        return int(session.execute(text(f"SELECT count(*) FROM {what} = :user"), {"user": user}).scalar_one())


@pytest.mark.parametrize("is_handed_over", [False, True])
def test_a_user_of_more_files_than_a_step_takes_is_deleted(
    backend: Backend, user: UUID, monkeypatch: pytest.MonkeyPatch, is_handed_over: bool
) -> None:
    fill(backend, user)
    to = new_user() if is_handed_over else None
    monkeypatch.setattr(delete_user, "_AT_ONCE", 2)
    monkeypatch.setattr(delete_user, "_PURGED_AT_ONCE", 2)
    ended = run(backend, begin(backend, user, to))
    assert (ended.state, ended.progress["done"]) == ("done", 5)
    assert count("users WHERE id", user) == 0
    if to is not None:
        assert count("files WHERE state = 'stored' AND owner_id", to) == 5


@pytest.mark.parametrize("saves", range(1, 15))
def test_a_process_that_dies_after_any_step_leaves_a_job_that_goes_on(
    backend: Backend, user: UUID, monkeypatch: pytest.MonkeyPatch, saves: int
) -> None:
    fill(backend, user, 3)
    monkeypatch.setattr(delete_user, "_AT_ONCE", 2)
    monkeypatch.setattr(delete_user, "_PURGED_AT_ONCE", 2)
    job_id, save, left = begin(backend, user), Work.save, [saves]

    def die_at_last(work: Work[DeleteUser, delete_user.DeleteUserProgress], **how: bool) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise DatabaseUnavailable("Gone.")
        save(work, **how)

    monkeypatch.setattr(Work, "save", die_at_last)
    backend.run(job_id)
    ended = run(backend, job_id, minutes=10)
    assert ended.state == "done"
    assert count("users WHERE id", user) == 0
    assert count("files WHERE owner_id", user) == 0


def test_a_process_that_dies_amid_a_purge_leaves_a_claim_that_the_next_one_takes_over(
    backend: Backend, user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(backend, user, 2)
    job_id = begin(backend, user)
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(trash, "_purge_some", die)
        patch.setattr(trash, "release_files", die)  # nor does a killed process release anything
        run(backend, job_id)
    assert run(backend, job_id, minutes=4).state == "done"
    assert count("users WHERE id", user) == 0


def test_what_can_t_be_removed_is_told_and_the_user_stays(
    backend: Backend, user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(backend, user, 2)

    def refuse(*_: object) -> None:
        raise StoreUnavailable("No.")

    with monkeypatch.context() as patch:
        patch.setattr(trash, "_remove", refuse)
        ended = run(backend, begin(backend, user))
    assert ended.state == "failed"
    assert ended.problem.startswith("The user still has 0 files, 2 in the trash, 0 deleted ones and 0 sessions.")
    assert len(ended.progress["failures"]) == 2
    assert run(backend, begin(backend, user)).state == "done"


@pytest.mark.parametrize(("times", "ends"), [(1, "done"), (3, "done"), (4, "failed")])
def test_what_comes_meanwhile_goes_too_unless_it_keeps_coming(
    backend: Backend, user: UUID, monkeypatch: pytest.MonkeyPatch, times: int, ends: str
) -> None:
    """By a request that was there before the user was disabled, or by a link."""
    fill(backend, user, 1)
    free, left = delete_user.handing_over.free_tombstones, [times]

    def upload_then_free(*arguments: object) -> None:
        if left[0]:
            left[0] -= 1
            fill(backend, user, 1)
        free(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(delete_user.handing_over, "free_tombstones", upload_then_free)
        ended = run(backend, begin(backend, user))
    assert ended.state == ends
    if ends == "failed":
        assert ended.problem.startswith("The user still has 1 files, 0 in the trash")
        assert run(backend, begin(backend, user)).state == "done"
    assert count("users WHERE id", user) == 0
    assert count("files WHERE owner_id", user) == 0


def test_a_user_who_is_enabled_again_meanwhile_stays(backend: Backend, user: UUID) -> None:
    fill(backend, user, 1)
    job_id = begin(backend, user)
    with backend.context().transaction() as tx:
        change_user(tx, user, {"disabled": False})
    ended = run(backend, job_id)
    assert (ended.state, ended.problem.partition(",")[0]) == ("failed", "The user was enabled again")
    assert count("files WHERE state = 'stored' AND owner_id", user) == 1


def test_nothing_is_handed_over_to_a_disabled_user(backend: Backend, user: UUID) -> None:
    to = new_user()
    with backend.context().transaction() as tx:
        disable_user(tx, to)
    with pytest.raises(Unprocessable, match="disabled"):
        begin(backend, user, to)


def test_the_jobs_of_a_deleted_user_end_first_and_take_back_what_they_have_begun(backend: Backend, user: UUID) -> None:
    fill(backend, user, 1)
    mine = backend.context(principal=Principal(user, "member"))
    key = f"{user}/elsewhere.txt"
    with mine.transaction() as tx:
        (file_id,) = tx.session.scalars(text("SELECT id FROM files WHERE owner_id = :user"), {"user": user}).all()
        move, _ = begin_move(tx, file_id, key, None)
    job_id = begin(backend, user, new_user())
    waits = backend.run(job_id)
    assert (waits.state, waits.problem) == ("queued", "The user's own jobs end first, 1 of them.")
    assert count("users WHERE id", user) == 1

    assert backend.run(move.id).state == "cancelled"
    assert run(backend, job_id, minutes=5).state == "done"
    assert count("users WHERE id", user) == 0
    with runtime.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM files WHERE key = :key"), {"key": key}) == 0


def test_a_user_with_open_jobs_is_not_deleted_at_once(backend: Backend, user: UUID) -> None:
    with backend.context(principal=Principal(user, "member")).transaction() as tx:
        create_job(tx, EmptyTrash(tx.now, everyones=False))
    with backend.context().transaction() as tx, pytest.raises(Conflict, match="1 jobs that have not ended"):
        delete_user_at_once(tx, user)
