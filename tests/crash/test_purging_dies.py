"""A purge that dies between any two of its steps removes nothing that has come to the key meanwhile, and goes on."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import text

from chalicelib.services.removal import trash
from tests.support.crash_world import Ground, World
from tests.support.forks import Fault, in_fork
from tests.support.steps import some_steps


@pytest.mark.parametrize(
    ("fault", "first", "is_put"),
    [("die_at", 1, False), ("die_at", 3, True), ("lose_at", 2, False), ("fail_at", 4, True)],
)
def test_a_purge_that_died_harms_nothing_and_goes_on(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, fault: str, first: int, is_put: bool
) -> None:
    monkeypatch.setattr(trash, "_MAX_VERSIONS", 2)  # so that it takes several rounds
    assert _wrong(lambda: ground.world(True, monkeypatch), fault, first, is_put) == []


def _wrong(new: Callable[[], World], fault: str, first: int, is_put: bool) -> list[str]:
    """Every step at which it went wrong, of those that are tried."""
    wrong = []
    for step in some_steps(5, first):
        world = new()
        world.deliver()
        world.s3.put_object(Bucket=world.bucket, Key=world.file.key, Body=b"a later version")
        world.deliver()
        world.done(world.delete)
        world.deliver()
        job_id = UUID(world.done(world.begin_to_empty_trash))
        outcome = in_fork(partial(world.work_on, job_id), Fault(**{fault: step}))
        if is_put:
            world.put(world.file.key)
        world.deliver()
        world.run_clock(4, 10, 40, 130)
        world.deliver()
        found = world.wrong()
        if not is_put:
            if fault == "die_at":  # else the job names the file as one that it could not purge
                found += _left_in_bucket(world)
            world.done(world.empty_trash, later=timedelta(hours=3))
            found += [*world.wrong(), *_left_in_bucket(world), *_left_in_trash(world)]
        wrong += [f"{problem}, after step {step}, {outcome.steps[-1]}" for problem in found]
        if len(outcome.steps) < step:
            return wrong
    raise AssertionError


def _left_in_bucket(world: World) -> list[str]:
    listed = world.s3.list_object_versions(Bucket=world.bucket, Prefix=world.file.key)
    return [f"{kind} are left" for kind in ("Versions", "DeleteMarkers") if kind in listed]


def _left_in_trash(world: World) -> list[str]:
    with world.engine.connect() as connection:
        purged = text("SELECT purged_at FROM files WHERE id = :id")
        is_left = connection.execute(purged, {"id": world.file.id}).scalar_one() is None
    return ["the file is in the trash"] if is_left else []
