"""The deletion of a user as a job: in steps, each of which may be the last one of its process."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.catalog.commands import DeleteUser
from chalicelib.db.models import User
from chalicelib.errors import DatabaseUnavailable, StoreUnavailable, Unprocessable
from chalicelib.ids import uuid7
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.accounts.users import change_user, disable_user
from chalicelib.services.jobs import delete_user
from chalicelib.services.jobs.delete_user import begin_deletion
from chalicelib.services.jobs.queue import Work
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
