"""Copies of what is shared with somebody, if the right ends while the job waits or copies."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import text

from chalicelib.catalog.roles import Membership
from chalicelib.db.models import Job
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.context import Context
from chalicelib.services.jobs.copy import begin_copy
from chalicelib.services.jobs.kinds import run_job
from chalicelib.store import copying_in_parts
from tests.support.api import Api
from tests.support.clockwork import Clockwork
from tests.support.sharing import Shared, new_shared
from tests.support.users import new_member, used

Withdraw = Callable[[], object]


@pytest.fixture
def shared(owner: Api) -> Shared:
    return new_shared(owner)


@pytest.fixture
def viewer(files_api: Api) -> Api:
    return new_member(files_api, "viewer")


def as_clock(clockwork: Clockwork) -> Context:
    ctx = clockwork.context()
    return replace(ctx, settings=ctx.settings.model_copy(update={"bucket": "versioned"}))


def begin(clockwork: Clockwork, shared: Shared, viewer: Api) -> UUID:
    """Begin a copy of the shared file for a viewer, as of one that is too large for a request; says the job's id."""
    membership = Membership(UUID(shared.owner.user_id), shared.session_id, "viewer")
    caller = Principal(UUID(viewer.user_id), "member", acting=membership)
    job, _ = begin_copy(as_clock(clockwork).acting(caller), UUID(shared.file["id"]), {})
    return job.id


def ended(clockwork: Clockwork, job_id: UUID) -> tuple[str, str | None]:
    run_job(as_clock(clockwork), job_id, 60.0)
    with clockwork.transaction() as session:
        job = session.get_one(Job, job_id)
        return job.state, job.problem


@pytest.mark.parametrize("how", ["membership", "session", "file leaves", "handed over"])
def test_a_copy_that_waits_is_not_done_after_the_right_has_ended(
    files_api: Api, shared: Shared, viewer: Api, clockwork: Clockwork, how: str
) -> None:
    member_id, file_id = shared.share(viewer, "viewer"), shared.file["id"]
    job_id = begin(clockwork, shared, viewer)
    ended_by = {
        "membership": lambda: shared.owner("DELETE", f"{shared.path}/members/{member_id}"),
        "session": lambda: shared.owner("DELETE", shared.path),
        "file leaves": lambda: shared.owner("PATCH", f"/api/files/{file_id}", {"session_id": None}),
        "handed over": lambda: files_api(
            "POST", f"/api/files/{file_id}/hand-over", {"user_id": new_member(files_api).user_id}
        ),
    }
    assert ended_by[how]().status in (200, 204)

    assert ended(clockwork, job_id) == ("failed", f"There is no file {file_id}.")
    assert viewer("GET", "/api/files?state=any").json["items"] == []
    assert used(viewer) == (0, 0)


def test_a_copy_that_waits_is_done_while_the_right_lasts(shared: Shared, viewer: Api, clockwork: Clockwork) -> None:
    shared.share(viewer, "viewer")
    assert ended(clockwork, begin(clockwork, shared, viewer)) == ("done", None)
    assert used(viewer) == (1, 5)


def test_a_large_copy_ends_when_the_right_does(
    shared: Shared, viewer: Api, clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    member_id = shared.share(viewer, "viewer")
    job_id = begin(clockwork, shared, viewer)
    monkeypatch.setattr(copying_in_parts, "_PART_BYTES", 1)
    ctx, copied = as_clock(clockwork), []
    parts = ctx.store.copier._parts
    copy = parts._copy_part

    def withdraw_at_the_first(*arguments: object) -> object:
        if not copied:
            assert shared.owner("DELETE", f"{shared.path}/members/{member_id}").status == 204
        copied.append(arguments)
        return copy(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(parts, "_copy_part", withdraw_at_the_first)
    assert ended(clockwork, job_id)[0] == "failed"
    assert copied
    assert used(viewer) == (0, 0)
    with clockwork.transaction() as session:
        of_viewer = text("SELECT count(*) FROM object_versions WHERE key LIKE :user || '/%'")
        assert session.scalar(of_viewer, {"user": viewer.user_id}) == 0


def test_an_owners_copy_goes_on_although_the_original_is_deleted(
    owner: Api, shared: Shared, clockwork: Clockwork
) -> None:
    file_id = UUID(shared.file["id"])
    ctx = as_clock(clockwork).acting(Principal(UUID(owner.user_id), "member"))
    job, _ = begin_copy(ctx, file_id, {})
    assert owner("DELETE", f"/api/files/{file_id}").status == 204
    assert ended(clockwork, job.id) == ("done", None)
