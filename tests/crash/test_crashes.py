"""Whatever dies between two steps, nothing is lost, nothing stays behind, and the catalogue is the bucket.

Each operation is killed at its steps. Then another client puts an object at a key of it, events come, and the clock
works on.
Each test begins at another step: see `tests.support.steps`.
"""

from collections.abc import Callable
from itertools import count

import pytest

from chalicelib.store import copying_in_parts
from tests.support.crash_world import Ground, World
from tests.support.forks import Fault, Outcome, in_fork
from tests.support.steps import some_steps

_STARTS = count(1)


def _crash_everywhere(
    new_world: Callable[[], World], operation: str, other: str | None, *, fault: str = "die_at"
) -> list[str]:
    """Every way in which it went wrong, with the step at which it died."""
    wrong: list[str] = []
    for step in some_steps(12, next(_STARTS)):
        world = new_world()
        world.deliver()
        if operation == "restore":
            world.s3.put_object(Bucket=world.bucket, Key=world.file.key, Body=b"a later version")
            world.deliver()
        if operation == "undelete":
            world.delete_two()
        outcome: Outcome = in_fork(getattr(world, operation), Fault(**{fault: step}))
        if other is not None:
            world.put(world.file.key if other == "old" else world.new_key)
        world.deliver()
        world.run_clock(4, 10, 40)
        world.deliver()
        world.run_clock(3000)  # two days later: what was abandoned is given up
        world.deliver()
        found = world.wrong(undisturbed=other is None)
        wrong += [f"{problem}, after step {step}, {outcome.steps[-1]}" for problem in found]
        if len(outcome.steps) < step:
            return wrong
    raise AssertionError


@pytest.mark.parametrize("other", [None, "old", "new"], ids=["alone", "a put at the old key", "a put at the new key"])
@pytest.mark.parametrize("versioned", [True, False], ids=["versioned", "plain"])
def test_a_move_survives_a_death_at_any_step(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, versioned: bool, other: str | None
) -> None:
    assert _crash_everywhere(lambda: ground.world(versioned, monkeypatch), "move", other) == []


@pytest.mark.parametrize(
    ("operation", "other"),
    [
        ("restore", None),
        ("restore", "old"),
        ("copy", None),
        ("zip", None),
        ("undelete", None),
        ("undelete", "old"),
        ("upload_half", None),
    ],
)
def test_another_job_survives_a_death_at_any_step(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, operation: str, other: str | None
) -> None:
    assert _crash_everywhere(lambda: ground.world(True, monkeypatch), operation, other) == []


@pytest.mark.parametrize("versioned", [True, False], ids=["versioned", "plain"])
def test_a_move_survives_a_lost_answer_at_any_step(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, versioned: bool
) -> None:
    assert _crash_everywhere(lambda: ground.world(versioned, monkeypatch), "move", "old", fault="lose_at") == []


@pytest.mark.parametrize("operation", ["move", "restore", "copy", "zip", "undelete", "upload_half"])
def test_a_job_survives_a_commit_that_fails_at_any_step(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """The database is back at once, so the process goes on with what it believes that it has noted."""
    assert _crash_everywhere(lambda: ground.world(True, monkeypatch), operation, None, fault="fail_at") == []


@pytest.mark.parametrize(
    ("operation", "other"), [("move", None), ("move", "new"), ("restore", None), ("restore", "old")]
)
def test_a_copy_in_parts_survives_a_death_at_any_step(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, operation: str, other: str | None
) -> None:
    """As large objects are copied: the copy has another ETag than its source."""
    monkeypatch.setattr(copying_in_parts, "_PART_BYTES", 1)
    assert _crash_everywhere(lambda: ground.world(True, monkeypatch), operation, other) == []


@pytest.mark.parametrize("operation", ["move", "restore", "copy"])
def test_a_copy_in_parts_survives_a_lost_answer_at_any_step(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    monkeypatch.setattr(copying_in_parts, "_PART_BYTES", 1)
    assert _crash_everywhere(lambda: ground.world(True, monkeypatch), operation, None, fault="lose_at") == []
