"""A zip that dies between any two of its steps, and is cancelled then, leaves no part, no reservation and no stray object."""

from functools import partial
from uuid import UUID

import pytest

from tests.support.crash_world import Ground
from tests.support.forks import Fault, in_fork
from tests.support.steps import some_steps


@pytest.mark.parametrize(("fault", "first"), [("die_at", 1), ("die_at", 3), ("lose_at", 2)])
def test_a_zip_that_died_and_is_cancelled_leaves_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, fault: str, first: int
) -> None:
    wrong: list[str] = []
    for step in some_steps(4, first):
        world = ground.world(True, monkeypatch)
        job_id = UUID(world.done(world.begin_zip))
        outcome = in_fork(partial(world.work_on, job_id), Fault(**{fault: step}))
        world.done(partial(world.cancel, job_id))
        world.run_clock(4)
        world.deliver()
        parts = world.s3.list_multipart_uploads(Bucket=world.bucket, Prefix=str(world.user.user_id))
        found = [*world.wrong(), *(["parts are left"] if "Uploads" in parts else [])]
        wrong += [f"{problem}, after step {step}, {outcome.steps[-1]}" for problem in found]
        if len(outcome.steps) < step:
            break
    assert wrong == []
